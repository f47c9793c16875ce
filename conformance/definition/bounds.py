"""How far rounding may take statistics and outputs: the error bounds, tight and plain, element-wise.

Every bound is an array with a leading axis of two: the tight one, with the growth ``log2(n) + 2`` of
blocked or pairwise summation, and the plain one, with the proven worst case ``n`` of summing one by
one (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2). The plain one also
admits a kernel that folds scale and shift into ``y = a x + b``. Derivations stand in
``docs/bounds.md``; those of gradients are in ``gradient_bounds.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance.definition.batch_norm import Array, Forward, State, average, effective_gamma, inverse_scale
from conformance.definition.precision import Precision
from conformance.definition.rules import Rules
from conformance.definition.storing import reach

__all__ = [
    "PLAIN_ONLY", "ForwardErrors", "StateErrors", "folded_errors", "forward_errors", "saved_errors", "update_errors",
]  # fmt: skip

#: What holds for the plain bound alone, beside the tight one.
PLAIN_ONLY = np.array([0.0, 1.0]).reshape(2, 1, 1)
_RIGHT = Rules()


@dataclass(frozen=True)
class StateErrors:
    """Error bounds of the running statistics, each ``(2, C, 1)``.

    ``inverse_unit`` is the unit roundoff of what ``1/s`` of them is computed in, where that is coarser than the rest.
    """

    mean: Array
    var: Array
    inverse_unit: float = 0.0


@dataclass(frozen=True)
class ForwardErrors:
    """Error bounds inside a forward.

    Those of the statistics and the relative one of ``1/s`` are ``(2, C, 1)``, ``xhat`` and ``y`` ``(2, C, n)``.
    """

    mean: Array
    var: Array
    relative: Array
    xhat: Array
    y: Array
    batch: StateErrors


def forward_errors(call: Forward, state: StateErrors, precision: Precision, rules: Rules) -> ForwardErrors:
    """Bound the errors of a forward; in evaluate those of the statistics are the state's."""
    u = precision.unit
    batch = _batch_errors(call, precision, rules)
    own = call.mode == "train" if rules.train_statistics == "batch" else False
    uses_batch = own or (call.mode == "evaluate" and rules.evaluate_uses == "batch")
    statistics = batch if uses_batch else state
    relative = _relative_error(call, statistics.var, rules) + 3 * max(u, statistics.inverse_unit)
    return _of_outputs(call, statistics, relative, batch, precision, rules)


def saved_errors(
    call: Forward, exact: Forward, errors: ForwardErrors, dtype: str, precision: Precision, rules: Rules,
    variance_unit: float = 0.0,
) -> ForwardErrors:  # fmt: skip
    """Bound the errors of a forward whose mean and ``1/s`` were rounded to ``dtype``; ``exact`` and ``errors`` as not.

    What is rounded is off by nothing, or by as much as the next number of the dtype is away. The variance may have been
    rounded before, as a sum and as its quotient, by ``variance_unit`` each: half of both together comes to ``1/s``.
    """
    statistics = replace(errors.batch, mean=reach(exact.mean, errors.mean, dtype))
    relative = reach(exact.inverse, exact.inverse * (errors.relative + variance_unit), dtype) / call.inverse
    return _of_outputs(call, statistics, relative, errors.batch, precision, rules)


def folded_errors(
    call: Forward, sizes: Array, bias: Array, terms: int, state: StateErrors, precision: Precision, rules: Rules
) -> Array:
    """Bound the error of the output of a linear layer into which a batch norm was folded, ``(2, C, n)``.

    ``call`` is the batch norm in evaluate on the output of the linear layer, which is a sum of so many ``terms``;
    ``sizes``, ``(C, n)``, are the sums of the sizes of their products, ``bias`` is ``(C, 1)``.
    """
    u, c = precision.unit, precision.growth(terms)
    relative = _relative_error(call, state.var, rules) + 3 * max(u, state.inverse_unit)
    factor = np.abs(effective_gamma(call.parameters, rules)) * call.inverse
    products, offset, beta = factor * sizes, factor * np.abs(bias - call.mean), np.abs(call.parameters.beta)
    error = c * u * (products + offset + beta) + (relative + 4 * u) * (products + offset) + factor * state.mean
    apart = factor * (np.abs(bias) + np.abs(call.mean))
    total: Array = error + PLAIN_ONLY * (c * u + relative + 4 * u) * apart + precision.floor
    return total


def _of_outputs(
    call: Forward, statistics: StateErrors, relative: Array, batch: StateErrors, precision: Precision, rules: Rules
) -> ForwardErrors:
    u = precision.unit
    gamma = np.abs(effective_gamma(call.parameters, rules))
    xhat = (statistics.mean + u * call.deviation) * call.inverse * (1 + relative) + np.abs(call.xhat) * (relative + u)
    y = gamma * xhat + 2 * u * (np.abs(gamma * call.xhat) + np.abs(call.parameters.beta))
    y[1] += 6 * u * gamma * call.inverse * call.reach
    y += precision.floor
    return ForwardErrors(statistics.mean, statistics.var, relative, xhat, y, batch)


def _batch_errors(call: Forward, precision: Precision, rules: Rules) -> StateErrors:
    u, n = precision.unit, call.x.shape[1]
    c = precision.growth(n)
    size = average(call.size, call.shape, _RIGHT, call.weights)
    mean = c * u * size
    var = (c + 2) * u * call.batch_var + mean * mean
    var[1] += _other_orders(call, mean[1], c[1], u)
    if rules.variance_algorithm != "two-pass":
        square = average(call.x * call.x, call.shape, _RIGHT, call.weights)
        centre = np.abs(call.batch_mean)
        var = (c + 1) * u * square + 2 * centre * mean + mean * mean + u * centre**2 + u * call.batch_var
    return StateErrors(mean, var)


def _other_orders(call: Forward, mean_error: Array, growth: Array, u: float) -> Array:
    """Bound what stable orders other than two passes add to the plain error of the variance, ``(C, 1)``.

    A recurrence of means and squares (Welford 1962) multiplies deviations from means that err
    differently from value to value: ``(1 + sqrt 2) sd e_mean``. The distances ``d`` from one of the
    values give ``avg(d^2) - avg(d)^2``: ``(3c + 6) u avg(d^2)``, ``avg(d^2)`` at most ``var + max (x - mean)^2``.
    """
    furthest = np.maximum.reduce((call.x - call.batch_mean) ** 2, axis=1, keepdims=True)
    recurrence = (1 + np.sqrt(2)) * np.sqrt(call.batch_var) * mean_error
    shifted: Array = (3 * growth + 6) * u * (call.batch_var + furthest)
    larger: Array = np.maximum(recurrence, shifted)
    return larger


def _relative_error(call: Forward, var_error: Array, rules: Rules) -> Array:
    """Return the relative change of ``1/s`` when the variance errs by ``var_error`` either way.

    Evaluated at the ends of the interval rather than to first order: for a variance below its own
    error the first order says nothing. The lower end changes more, unless it is cut off at zero. Infinite
    where a variance that is not clipped may outweigh epsilon.
    """
    least = -np.inf if rules.variance_algorithm == "one-pass unclipped" else 0
    low = np.maximum(call.var - var_error, least)
    larger, _ = inverse_scale(call.mode, low, call.parameters.epsilon, rules)
    smaller, _ = inverse_scale(call.mode, call.var + var_error, call.parameters.epsilon, rules)
    relative: Array = np.maximum(larger / call.inverse - 1, 1 - smaller / call.inverse)
    if np.count_nonzero(np.isfinite(relative)) < relative.size:
        relative = np.where((call.inverse == 0) & (larger == 0), 0, relative)  # of an infinite radicand
        relative = np.nan_to_num(relative, nan=np.inf, posinf=np.inf)
    return relative


def update_errors(state: State, errors: StateErrors, kept: State, batch: StateErrors, weight: float, factor: float,
                  precision: Precision, settling: float = 0.0, stored: float = 0.0) -> StateErrors:  # fmt: skip
    """Bound the error of the updated state; ``kept`` is what was blended in with ``weight``.

    The terms in ``|batch - old|`` are the rounding of the momentum itself and of the incremental
    form of the update. ``settling`` is the relative error, in ``u``, of the divisor of a debiased state; ``stored`` the
    unit roundoff of products that are each rounded, the batch twice more: as it is kept, and times its factor.
    """
    u = precision.unit

    def one(old: Array, old_error: Array, new: Array, new_error: Array) -> Array:
        if new_error.shape[2] > 1:
            new_error = new_error.max(axis=2, keepdims=True)
        of_old, of_new = np.abs((1 - weight) * old), np.abs(weight * new)
        parts = of_old + of_new
        rounding = 3 * (np.abs(new - old) + parts)
        if settling:
            rounding = rounding + settling * parts
        total: Array = weight * new_error + u * rounding + abs(1 - weight) * old_error
        if stored:
            total = total + stored * (of_old + 3 * of_new)
        return total + precision.floor

    return StateErrors(
        mean=one(state.mean, errors.mean, kept.mean, batch.mean),
        var=one(state.var, errors.var, kept.var, factor * batch.var),
    )
