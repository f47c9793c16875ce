"""How far evaluating a batch is from training on it: mean squares, and their bounds, for one call or many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.definition.batch_norm import Array, Parameters, State, forward, statistics
from conformance.definition.bounds import StateErrors, forward_errors
from conformance.definition.precision import Precision
from conformance.definition.rules import Rules
from conformance.definition.running_state import Batch, update

__all__ = ["evaluated", "mean_square_distance"]

#: The two outputs are subtracted, squared and averaged in float64.
_UNIT = 2.0**-53


def mean_square_distance(one: Array, other: Array, error: Array) -> tuple[Array, Array]:
    """Return ``avg((one - other)^2)`` over the last axes, and how far errors of the two may take it.

    ``one`` and ``other`` are of shape ``(K, ...)``, or broadcast to it, ``error`` bounds the sum of their errors,
    ``(2, K, ...)``. A difference ``d`` that errs by ``e`` at most has a square that errs by ``2 |d| e + e^2`` at most.
    The results are ``(K,)`` and ``(2, K)``.
    """
    distance = np.asarray(one - other)
    axes = tuple(range(1, distance.ndim))
    size = np.abs(distance)
    square = (distance * distance).mean(axis=axes)
    moved = (2 * size * error + error * error).mean(axis=tuple(axis + 1 for axis in axes))
    bound: Array = moved + distance[0].size * _UNIT * square
    return square, bound


def evaluated(
    rows: Array, shape: tuple[int, ...], parameters: Parameters, seen: Sequence[tuple[State, StateErrors]], mode: str,
    momentum: float | None, precision: Precision, rules: Rules,
) -> tuple[Array, Array]:  # fmt: skip
    """Evaluate one input with each of ``K`` states: outputs ``(K, C, n)`` and their bounds ``(2, K, C, n)``.

    All at once, as further channels, which no formula mixes; ``mode`` is the one whose formulas hold.
    """
    many = len(seen)

    def joined(parts: Sequence[Array]) -> Array:
        return np.concatenate(parts, axis=-2)

    repeated, further = joined([rows] * many), (shape[0], many * shape[1], *shape[2:])
    states, errors = zip(*seen, strict=True)
    state = State(joined([one.mean for one in states]), joined([one.var for one in states]), states[-1].updates)
    own = Parameters(joined([parameters.gamma] * many), joined([parameters.beta] * many), parameters.epsilon)
    moved = state
    if rules.evaluate_uses == "updated":
        batch = Batch(*statistics(repeated, further, rules), rows.shape[1], shape[0], parameters.epsilon)
        moved = update(state, batch, momentum, rules)
    done = forward(repeated, mode, further, own, state, moved, rules)
    of_states = StateErrors(joined([one.mean for one in errors]), joined([one.var for one in errors]))
    bounds = forward_errors(done, of_states, precision, rules)
    return done.y.reshape(many, *rows.shape), bounds.y.reshape(2, many, *rows.shape)
