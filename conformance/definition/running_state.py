"""The update of the running statistics, and the weight that a training forward gives to its batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from conformance.definition.batch_norm import Array, Forward, State, inverse_scale
from conformance.definition.dialect import Dialect
from conformance.definition.rules import Rules
from conformance.definition.storing import rounded
from conformance.definition.sums import row_mean

__all__ = [
    "Batch", "debias_roundings", "effective_mode", "kept_mean", "kept_variance", "kept_variance_error", "left_of_start",
    "moves", "settled", "shared", "update", "update_weight", "variance_factor", "weights",
]  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """What the update knows of a batch: its statistics, ``n`` values per channel in ``rows`` rows."""

    mean: Array
    var: Array
    n: int
    rows: int
    epsilon: float


def effective_mode(mode: str, dialect: Dialect, *, tracked: bool, frozen: bool) -> tuple[str, bool]:
    """Return the mode whose formulas hold for a layer as it is, and whether its state may move."""
    if mode == "evaluate" and not tracked:
        return ("train" if dialect.untracked == "batch" else "evaluate"), False
    if mode == "train" and frozen:
        return ("evaluate" if dialect.frozen == "C" else "train"), dialect.frozen not in ("B", "C")
    return mode, tracked


def moves(mode: str, rules: Rules, *, with_backward: bool) -> int:
    """Return how many times a forward in ``mode`` moves the state: once in train, else never."""
    if mode == "evaluate":
        return 1 if rules.updates == "in evaluate too" else 0
    if rules.updates == "with backward":
        return 1 if with_backward else 0
    return {"never": 0, "with each backward": 0, "twice": 2}.get(rules.updates, 1)


def update_weight(k: int, momentum: float | None, rules: Rules) -> np.longdouble:
    """Return the weight of the batch in the ``k``-th update, ``k`` from 1, for the caller to round.

    ``momentum`` itself (blend); 1 at first (replace); ``m / (1 - (1 - m)^k)`` (debias, which keeps
    the visible state free of its start); ``1 / k`` where momentum is ``None``, the plain average.
    """
    one = np.longdouble(1)
    if momentum is None:
        return {
            "average": one / k, "momentum 0.1": 0.1 * one, "momentum 0": 0 * one, "late": one / (k + 1), "last": one,
        }[rules.cumulative]  # fmt: skip
    weight = momentum * one if rules.dialect.momentum == "new" else one - momentum
    if rules.dialect.constants == "float32 momentum":
        weight = one * np.float32(weight)
    if rules.dialect.first_update == "replace" and k == 1:
        return one
    if rules.dialect.first_update == "debias" and weight > 0:
        return weight / settled(k, weight)
    if rules.dialect.constants in ("own", "float32 momentum"):
        return weight
    if rules.dialect.constants in ("float32 new", "float32 both"):
        return one * np.float32(weight)
    # Where constants are kept in float32, that of the state is the weight of the old one.
    weight = one - np.float32(one - weight)
    return one * np.float32(weight) if rules.dialect.constants == "float32 each" else weight


def weights(state: State, momentum: float | None, rules: Rules) -> tuple[Any, Any]:
    """Return the weights of the batch and of the old state in the next update, in the precision of the state's values.

    The second is the rest of the first, in whatever precision that is.
    """
    number: Any = state.mean.dtype.type
    weight = number(update_weight(state.updates + 1, momentum, rules))
    if rules.update_arithmetic == "state's precision" and state.dtype:
        weight = rounded(weight, state.dtype)
        return weight, rounded(1 - weight, state.dtype)
    if rules.dialect.constants in ("float32 each", "float32 both") and momentum is not None:
        return weight, number(np.float32(1 - (momentum if rules.dialect.momentum == "new" else 1 - momentum)))
    if rules.state_starts_in != "own" and state.dtype == rules.state_starts_in and state.updates == 0:
        return weight, rounded(1 - weight, state.dtype)
    return weight, 1 - weight


def shared(
    call: Forward, state: State, batch: Batch, momentum: float | None, rules: Rules, *, moved: bool
) -> Forward:
    """Return the forward with the parts that its batch has in statistics which were updated before they were used.

    It has none where the state was not ``moved``: that of a frozen layer, or of one that keeps none.
    """
    if call.mode != "train" or rules.train_statistics != "updated":
        return call
    if not moved:
        return replace(call, shares=(0, 0))
    number = state.mean.dtype.type
    weight = number(update_weight(state.updates + 1, momentum, rules))
    return replace(call, shares=(weight, weight * variance_factor(batch, rules, number)))


def debias_roundings(k: int, momentum: float | None, rules: Rules) -> float:
    """Return how many roundings the divisor ``1 - (1 - a)^k`` of a debiased state is off by, relative to itself.

    The kept weight is rounded and raised to the ``k``-th power: ``2 k`` roundings of a number up to 1,
    of which the divisor, near ``k a`` for a small ``a``, may be a small part.
    """
    if momentum is None or rules.dialect.first_update != "debias":
        return 0.0
    weight = np.longdouble(momentum if rules.dialect.momentum == "new" else 1 - momentum)
    return float(2 * k / settled(k, weight)) if weight > 0 else 0.0


def left_of_start(k: int, momentum: float | None, rules: Rules) -> float:
    """Return what is left in the variance after update ``k`` of a start at 1, where it is debiased as one at 0.

    ``(1 - m) / m`` at first; later updates blend that away as they do any state.
    """
    return (1 - momentum) / momentum if rules.start == "debiased from one" and k == 1 and momentum else 0.0


def settled(k: int, weight: np.longdouble) -> np.longdouble:
    """Return ``1 - (1 - a)^k``, the part of an average from nothing that ``k`` batches of weight ``a`` make up."""
    part: np.longdouble = 1 - (1 - weight) ** k
    return part


def update(state: State, batch: Batch, momentum: float | None, rules: Rules) -> State:
    """Blend one batch into the state.

    ``running = (1 - a) * running + a * batch`` with the weight ``a`` of ``update_weight``
    (documentation of torch.nn.BatchNorm1d; Ioffe & Szegedy 2015, section 3.1).
    """
    k = state.updates + 1
    weight, kept = weights(state, momentum, rules)
    mean = kept * state.mean + weight * kept_mean(batch, rules)
    var = kept * state.var + weight * kept_variance(batch, rules)
    var = var + left_of_start(k, momentum, rules)
    return State(
        mean=state.mean if rules.updated == "variance only" else mean,
        var=state.var if rules.updated == "mean only" else var,
        updates=k,
        dtype=state.dtype,
    )


def kept_mean(batch: Batch, rules: Rules) -> Array:
    """Return what is blended into the running mean, shape ``(C, 1)``."""
    mean = row_mean(batch.mean)
    number: Any = mean.dtype.type
    return mean * _bessel(batch.n, number) if rules.mean_factor == "bessel" else mean


def kept_variance(batch: Batch, rules: Rules) -> Array:
    """Return what is blended into the running variance, shape ``(C, 1)``."""
    var = row_mean(batch.var)
    if rules.variance_kept == "second moment":
        var = var + row_mean(batch.mean) ** 2
    estimate: Array = var * variance_factor(batch, rules, var.dtype.type)
    if rules.variance_kept == "with epsilon":
        return estimate + var.dtype.type(batch.epsilon)
    if rules.variance_kept == "standard deviation":
        return np.sqrt(estimate)
    if rules.variance_kept == "recovered":
        inverse, _ = inverse_scale("train", estimate, batch.epsilon, rules)
        with np.errstate(divide="ignore"):
            estimate = 1 / (inverse * inverse) - var.dtype.type(batch.epsilon)
    if rules.variance_kept == "inverse standard deviation":
        return 1 / np.sqrt(estimate + var.dtype.type(batch.epsilon))
    return estimate


def kept_variance_error(batch: Batch, error: Array, unit: float, rules: Rules) -> Array:
    """Bound the error of what is blended into the running variance, given that of ``batch.var``.

    Where it is ``s^2 - epsilon``, 1 / s, its square and their inverse are rounded, and what is left is as small as the
    variance.
    """
    if rules.variance_kept != "recovered":
        return error
    kept = kept_variance(batch, rules)
    ends = [kept_variance(replace(batch, var=np.maximum(batch.var + sign * error, 0)), rules) for sign in (-1, 1)]
    with np.errstate(invalid="ignore"):
        furthest = np.maximum(*(np.abs(end - kept) for end in ends))
    bound: Array = np.where(np.isfinite(kept), furthest, 0) + 8 * unit * np.abs(kept + batch.epsilon)
    return bound


def variance_factor(batch: Batch, rules: Rules, number: Any) -> Any:
    """Return the factor ``b`` from the population variance to what is kept (the dialect's estimator)."""
    n = {
        "values": batch.n, "rows": batch.rows, "channels": batch.n * len(batch.mean), "plus one": batch.n + 1,
    }[rules.variance_count]  # fmt: skip
    return _estimated(rules.dialect.running_variance, n, batch.epsilon, number)


@lru_cache(maxsize=256)
def _estimated(estimator: str, n: int, epsilon: float, number: Any) -> Any:
    factor = number(1)
    if estimator.startswith("sample"):
        factor = factor * _bessel(n, number)
    if estimator.endswith("over-n-1-epsilon"):
        with np.errstate(divide="ignore"):
            factor = factor * (number(n) / (number(n) - 1 - number(epsilon)))
    return factor


@lru_cache(maxsize=256)
def _bessel(n: int, number: Any) -> Any:
    return number(n) / number(n - 1) if n != 1 else number(np.inf)
