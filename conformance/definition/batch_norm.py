"""The formulas of batch normalisation, in whatever precision their arguments have.

Every array here is in channel rows: shape ``(C, n)`` for ``n = N * prod(spatial)`` values per
channel, or ``(C, 1)`` for one value per channel. ``by_channel`` and ``canonical`` convert.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conformance.definition.rules import Rules
from conformance.definition.sums import is_long, row_dot, row_mean, row_sum
from conformance.definition.taylor import held

__all__ = [
    "Forward", "Parameters", "State", "affine", "average", "by_channel", "canonical", "column", "effective_gamma",
    "forward", "inverse_scale", "mask_count", "statistics",
]  # fmt: skip

Array: TypeAlias = NDArray[np.floating[Any]]


def by_channel(x: Array) -> Array:
    """Return ``x``, shape ``(N, C, *spatial)``, as channel rows ``(C, n)``."""
    return np.ascontiguousarray(x.swapaxes(0, 1)).reshape(x.shape[1], -1)


def canonical(rows: Array, shape: tuple[int, ...]) -> Array:
    """Return channel rows as an array of ``shape``, ``(N, C, *spatial)``."""
    return rows.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)


def column(values: Array | None, channels: int, dtype: Any, default: float) -> Array:
    """Return ``(C,)`` values, or the default where there are none, as ``(C, 1)`` of that dtype."""
    if values is None:
        return np.full((channels, 1), default, dtype=dtype)
    return values.astype(dtype).reshape(-1, 1)


@dataclass(frozen=True)
class Parameters:
    """Scale and offset, shape ``(C, 1)``, and epsilon."""

    gamma: Array
    beta: Array
    epsilon: float


@dataclass(frozen=True)
class State:
    """Running statistics, shape ``(C, 1)``, and the number of training forwards that made them.

    ``dtype`` is what they are stored in, empty where that is as precise as what is computed in.
    """

    mean: Array
    var: Array
    updates: int = 0
    dtype: str = ""


@dataclass(frozen=True)
class Forward:
    """What a forward leaves for its backward, in channel rows.

    ``mean`` and ``var`` are what it normalised with, ``batch_mean`` and ``batch_var`` the statistics
    of the batch; ``inverse`` is ``1 / s`` and ``slope`` its derivative with respect to ``var``.
    ``weights``, ``(1, n)``, are 1 where a mask lets a value into the statistics, else 0. ``shares`` are the
    derivatives of ``mean`` and ``var`` by the statistics of the batch: 1, unless those are averages with others.
    """

    mode: str
    shape: tuple[int, ...]
    parameters: Parameters
    x: Array
    batch_mean: Array
    batch_var: Array
    mean: Array
    var: Array
    inverse: Array
    slope: Array
    xhat: Array
    y: Array
    weights: Array | None = None
    shares: tuple[Any, Any] = (1, 1)

    @cached_property
    def size(self) -> Array:
        """Return ``|x|``."""
        return np.abs(self.x)

    @cached_property
    def deviation(self) -> Array:
        """Return ``|x - mean|``."""
        return np.abs(self.x - self.mean)

    @cached_property
    def reach(self) -> Array:
        """Return ``|x| + |mean|``: the size of what folding subtracts from each other."""
        return self.size + np.abs(self.mean)

    @property
    def count(self) -> int:
        """Return how many values of a channel made the statistics."""
        return self.x.shape[1] if self.weights is None else int(self.weights.sum())


def forward(
    x: Array, mode: str, shape: tuple[int, ...], parameters: Parameters, state: State, updated: State, rules: Rules,
    weights: Array | None = None, out: Array | None = None,
) -> Forward:  # fmt: skip
    """Normalise ``x``, channel rows of an array of ``shape`` (Ioffe & Szegedy 2015, Algorithms 1 and 2).

    ``state`` is the state before the call, ``updated`` the one that a training call leaves: the
    definition lets a training output depend on neither. Where ``weights`` are given, ``(1, n)`` of 0
    and 1, the statistics are those of the values with a 1; all values are normalised. The output is
    written to ``out``, ``(C, n)``, where one is given.
    """
    batch_mean, batch_var, deviation = _moments(x, shape, rules, weights)
    mean, var = _normalised_with(mode, batch_mean, batch_var, state, updated, rules)
    if mode == "train" and rules.output_variance == "sample":
        var = var * (x.dtype.type(x.shape[1]) / (x.shape[1] - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse, slope = inverse_scale(mode, var, parameters.epsilon, rules)
    xhat = _times((x - mean) if deviation is None or mean is not batch_mean else deviation, inverse)
    y = affine(xhat, parameters, rules, out)
    return Forward(mode, shape, parameters, x, batch_mean, batch_var, mean, var, inverse, slope, xhat, y, weights)


def statistics(
    x: Array, shape: tuple[int, ...], rules: Rules, weights: Array | None = None
) -> tuple[Array, Array]:
    """Return the mean and the population variance of the batch, ``avg(x)`` and ``avg((x - mean)^2)``."""
    mean, var, _ = _moments(x, shape, rules, weights)
    return mean, var


def _moments(
    x: Array, shape: tuple[int, ...], rules: Rules, weights: Array | None
) -> tuple[Array, Array, Array | None]:
    """Return the statistics of a batch and, where it was made and is of use to others, ``x - mean``."""
    mean = average(x, shape, rules, weights)
    if rules.variance_algorithm != "two-pass":
        least = x.dtype.type(0 if rules.variance_algorithm == "one-pass" else -np.inf)
        return mean, np.maximum(average(x * x, shape, rules, weights) - mean * mean, least), None
    deviation = x - (mean if rules.variance_centre == "mean" else held(mean))
    if is_long(x) and weights is None and rules.axes == "channel":
        return mean, row_dot(deviation, deviation) / x.shape[1], deviation
    var = average(deviation * deviation, shape, rules, weights)
    # Arrays that stand for others do each operation again, with another rounding.
    return mean, var, deviation if type(x) is np.ndarray else None


def _times(rows: Array, factor: Array) -> Array:
    """Return ``rows * factor``, in the place of ``rows``, which nobody else has, where they are an array proper."""
    return np.multiply(rows, factor, out=rows) if type(rows) is np.ndarray else rows * factor


def average(rows: Array, shape: tuple[int, ...], rules: Rules, weights: Array | None = None) -> Array:
    """Average over what belongs together: a whole channel, giving ``(C, 1)``, unless ``rules.axes`` errs."""
    if weights is not None and rules.mask != "ignored":
        return row_sum(rows * weights) / mask_count(weights, rules)
    if rules.axes == "channel":
        return row_mean(rows)
    if rules.axes == "all":
        return np.full_like(rows, rows.mean())
    parts = rows.reshape(shape[1], shape[0], -1)
    means = parts.mean(axis=1 if rules.axes == "position" else 2, keepdims=True)
    return np.broadcast_to(means, parts.shape).reshape(rows.shape)


def mask_count(weights: Array, rules: Rules) -> Array:
    """Return what sums under a mask are divided by, ``(1, 1)``: the number of values let in."""
    return row_sum(weights) + weights.dtype.type(1e-7 if rules.mask == "count padded" else 0)


def inverse_scale(mode: str, var: Array, epsilon: float, rules: Rules) -> tuple[Array, Array]:
    """Return ``1 / s`` and its derivative with respect to the variance, ``s = sqrt(var + epsilon)``.

    Of a radicand that is zero or negative that is infinite or NaN, of which NumPy may warn.
    """
    place = rules.epsilon if mode == "train" or rules.epsilon_evaluate == "as in train" else rules.epsilon_evaluate
    added = var.dtype.type(epsilon)
    if place == "outside":
        root = np.sqrt(var)
        inverse = 1 / (root + added)
        return inverse, -inverse * inverse / (2 * root)
    if place == "floor":
        inverse = 1 / np.sqrt(np.maximum(var, added))
        return inverse, np.where(var > added, -inverse**3 / 2, 0)
    radicand = var + {"inside": added, "missing": 0 * added, "squared": added * added}[place]
    if rules.radicand_in == "float16":
        radicand = _in_float16(var + _in_float16(added))
    inverse = 1 / np.sqrt(radicand)
    return inverse, -inverse / (2 * radicand)


def _in_float16(value: Any) -> Any:
    """Return numbers rounded to float16, infinite beyond its range; derivatives pass as if they were not."""
    exact = held(value)
    with np.errstate(over="ignore", invalid="ignore"):
        rounding = exact.astype(np.float16).astype(exact.dtype) - exact
    return value + np.where(np.isfinite(exact), rounding, 0)


def _normalised_with(
    mode: str, batch_mean: Array, batch_var: Array, state: State, updated: State, rules: Rules
) -> tuple[Array, Array]:
    uses = rules.train_statistics if mode == "train" else rules.evaluate_uses
    if uses == "batch":
        return batch_mean, batch_var
    if uses == "initial":
        return np.zeros_like(state.mean), np.ones_like(state.var)
    chosen = updated if uses == "updated" else state
    return chosen.mean, chosen.var


def affine(xhat: Array, parameters: Parameters, rules: Rules, out: Array | None = None) -> Array:
    """Scale and shift: ``gamma * xhat + beta``, ``(C, n)``."""
    beta = parameters.beta if rules.beta == "used" else 0 * parameters.beta
    if rules.gamma == "after beta":
        return np.multiply(parameters.gamma, xhat + beta, out=out)
    gamma = effective_gamma(parameters, rules)
    if type(xhat) is not np.ndarray or type(gamma) is not np.ndarray:
        return gamma * xhat + beta
    y = np.multiply(gamma, xhat, out=out)
    return np.add(y, beta, out=y)


def effective_gamma(parameters: Parameters, rules: Rules) -> Array:
    """Return the factor of ``xhat``: gamma, unless ``rules.gamma`` errs."""
    if rules.gamma == "ignored":
        return np.ones_like(parameters.gamma)
    if rules.gamma == "absolute":
        return np.abs(parameters.gamma)
    return parameters.gamma + 1 if rules.gamma == "plus one" else parameters.gamma
