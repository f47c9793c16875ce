"""How far rounding may take each quantity: the error bounds, tight and plain, element-wise.

Every bound is an array with a leading axis of two: the tight one, with the growth ``log2(n) + 2`` of
blocked or pairwise summation, and the plain one, with the proven worst case ``n`` of summing one by
one (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2). The plain one also
admits a kernel that folds scale and shift into ``y = a x + b``. Derivations stand in
``docs/bounds.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from conformance.definition.batch_norm import Array, Forward, State, average, effective_gamma, inverse_scale, row_sum
from conformance.definition.precision import Precision
from conformance.definition.rules import Rules
from conformance.definition.storing import reach

__all__ = [
    "ForwardErrors", "StateErrors", "folded_errors", "forward_errors", "gradient_errors", "saved_errors",
    "update_errors", "update_gradient_error",
]  # fmt: skip

_PLAIN_ONLY = np.array([0.0, 1.0]).reshape(2, 1, 1)
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
    total: Array = error + _PLAIN_ONLY * (c * u + relative + 4 * u) * apart + precision.floor
    return total


def _of_outputs(
    call: Forward, statistics: StateErrors, relative: Array, batch: StateErrors, precision: Precision, rules: Rules
) -> ForwardErrors:
    u = precision.unit
    gamma = np.abs(effective_gamma(call.parameters, rules))
    deviation = np.abs(call.x - call.mean)
    xhat = (statistics.mean + u * deviation) * call.inverse * (1 + relative) + np.abs(call.xhat) * (relative + u)
    y = gamma * xhat + 2 * u * (np.abs(gamma * call.xhat) + np.abs(call.parameters.beta))
    y = y + _PLAIN_ONLY * 6 * u * gamma * call.inverse * (np.abs(call.x) + np.abs(call.mean))
    return ForwardErrors(statistics.mean, statistics.var, relative, xhat, y + precision.floor, batch)


def _batch_errors(call: Forward, precision: Precision, rules: Rules) -> StateErrors:
    u, n = precision.unit, call.x.shape[1]
    c = precision.growth(n)
    size = average(np.abs(call.x), call.shape, _RIGHT, call.weights)
    mean = c * u * size
    var = (c + 2) * u * call.batch_var + mean * mean + _PLAIN_ONLY * _other_orders(call, mean, c, u)
    if rules.variance_algorithm != "two-pass":
        square = average(call.x * call.x, call.shape, _RIGHT, call.weights)
        centre = np.abs(call.batch_mean)
        var = (c + 1) * u * square + 2 * centre * mean + mean * mean + u * centre**2 + u * call.batch_var
    return StateErrors(mean, var)


def _other_orders(call: Forward, mean_error: Array, growth: Array, u: float) -> Array:
    """Bound what stable orders other than two passes add to the error of the variance.

    A recurrence of means and squares (Welford 1962) multiplies deviations from means that err
    differently from value to value: ``(1 + sqrt 2) sd e_mean``. The distances ``d`` from one of the
    values give ``avg(d^2) - avg(d)^2``: ``(3c + 6) u avg(d^2)``, ``avg(d^2)`` at most ``var + max (x - mean)^2``.
    """
    furthest = np.max((call.x - call.batch_mean) ** 2, axis=1, keepdims=True)
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
    with np.errstate(invalid="ignore", divide="ignore"):
        least = -np.inf if rules.variance_algorithm == "one-pass unclipped" else 0
        low = np.maximum(call.var - var_error, least)
        larger, _ = inverse_scale(call.mode, low, call.parameters.epsilon, rules)
        smaller, _ = inverse_scale(call.mode, call.var + var_error, call.parameters.epsilon, rules)
        relative = np.maximum(larger / call.inverse - 1, 1 - smaller / call.inverse)
        relative = np.where((call.inverse == 0) & (larger == 0), 0, relative)  # of an infinite radicand
    return np.nan_to_num(relative, nan=np.inf, posinf=np.inf)


def update_errors(state: State, errors: StateErrors, kept: State, batch: StateErrors, weight: float, factor: float,
                  precision: Precision, settling: float = 0.0, stored: float = 0.0) -> StateErrors:  # fmt: skip
    """Bound the error of the updated state; ``kept`` is what was blended in with ``weight``.

    The terms in ``|batch - old|`` are the rounding of the momentum itself and of the incremental
    form of the update. ``settling`` is the relative error, in ``u``, of the divisor of a debiased state; ``stored`` the
    unit roundoff of products that are each rounded, the batch twice more: as it is kept, and times its factor.
    """
    u = precision.unit

    def one(old: Array, old_error: Array, new: Array, new_error: Array) -> Array:
        new_error = new_error.max(axis=2, keepdims=True)
        parts = np.abs((1 - weight) * old) + np.abs(weight * new)
        rounding = 3 * (np.abs(new - old) + parts) + settling * parts
        products = stored * (np.abs((1 - weight) * old) + 3 * np.abs(weight * new))
        total: Array = weight * new_error + u * rounding + abs(1 - weight) * old_error + products + precision.floor
        return total

    return StateErrors(
        mean=one(state.mean, errors.mean, kept.mean, batch.mean),
        var=one(state.var, errors.var, kept.var, factor * batch.var),
    )


def gradient_errors(
    call: Forward, errors: ForwardErrors, dy: Array, precision: Precision, rules: Rules
) -> dict[str, Array]:
    """Bound the errors of the gradients: ``x`` as ``(2, C, n)``, the others as ``(2, C, 1)``."""
    u, n = precision.unit, dy.shape[1]
    c = precision.growth(n)
    size = np.abs(dy)
    gamma = np.abs(effective_gamma(call.parameters, rules))
    sum_size = row_sum(size)
    dbeta = c * u * sum_size
    if rules.dbeta == "input precision":
        dbeta = dbeta + precision.stored * np.abs(row_sum(dy))
    products = row_sum(np.abs(dy * call.xhat))
    folded = row_sum(size * (np.abs(call.x) + np.abs(call.mean))) * call.inverse
    dgamma = c * u * products + (size * errors.xhat).sum(axis=2, keepdims=True) + _PLAIN_ONLY * c * u * folded
    scaled = call.inverse * (1 + errors.relative)
    if call.mode == "train" or rules.evaluate_gradient == "through statistics":
        dx = gamma * scaled * _train_bracket_error(call, errors, dy, dgamma, precision, rules)
    else:
        dx = gamma * call.inverse * size * (errors.relative + 3 * u)
    if rules.gradient_terms == "input precision":
        dx = dx + 2 * precision.stored * gamma * call.inverse * _bracket_terms(call, dy)
    by_mean = gamma * scaled * (c * u * sum_size + sum_size * (errors.relative + 3 * u))
    by_var = _by_variance_error(call, errors, dgamma, products, precision)
    named = {"x": dx, "gamma": dgamma, "beta": dbeta, "running_mean": by_mean, "running_var": by_var}
    return {name: error + precision.floor for name, error in named.items()}


def _train_bracket_error(
    call: Forward, errors: ForwardErrors, dy: Array, dgamma: Array, precision: Precision, rules: Rules
) -> Array:
    """Bound the error of ``dy - avg(dy) - xhat * avg(dy * xhat)``, ``(2, C, n)``."""
    u, c = precision.unit, precision.growth(dy.shape[1])
    projection = np.abs(row_sum(dy * call.xhat) / call.count)
    terms = _bracket_terms(call, dy)
    bracket: Array = 4 * u * terms + c * u * row_sum(np.abs(dy)) / call.count + terms * errors.relative
    bracket = bracket + (np.abs(call.xhat) + errors.xhat) * dgamma / call.count + errors.xhat * projection
    if rules.variance_algorithm != "two-pass":
        bracket = bracket + 4 * u * projection * call.inverse * (np.abs(call.x) + np.abs(call.mean))
    return bracket


def _bracket_terms(call: Forward, dy: Array) -> Array:
    """Return the sum of the sizes of the three terms of the training gradient, ``(C, n)``."""
    through_variance = np.abs(call.xhat * row_sum(dy * call.xhat) / call.count)
    total: Array = np.abs(dy) + np.abs(row_sum(dy)) / call.count + through_variance
    return total


def _by_variance_error(
    call: Forward, errors: ForwardErrors, dgamma: Array, products: Array, precision: Precision
) -> Array:
    """Bound the error of ``slope * sum(dy * (x - mean))``: that of ``dgamma``, scaled by ``gamma / (2 s^2)``."""
    gamma = np.abs(call.parameters.gamma)
    scale = gamma * np.abs(call.slope) / call.inverse
    total: Array = scale * (1 + 3 * errors.relative) * (dgamma + products * (3 * errors.relative + 6 * precision.unit))
    return total


def update_gradient_error(
    call: Forward, errors: StateErrors, by_state: Mapping[str, Array], bounds: Mapping[str, Array], weight: float,
    factor: float, precision: Precision,
) -> Array:  # fmt: skip
    """Bound the error of ``gradients.update_gradient``, ``(2, C, n)``.

    ``call`` is the earlier forward and ``errors`` those of its batch; ``by_state`` the gradients of the state,
    ``(C, 1)``, with their ``bounds``.
    """
    u, n = precision.unit, call.x.shape[1]
    deviation = np.abs(call.x - call.batch_mean)
    # Of nearly constant channels the gradient may be off by more than its own size: the products count.
    through_mean = np.abs(by_state["running_mean"]) + bounds["running_mean"]
    through_var = np.abs(by_state["running_var"]) + bounds["running_var"]
    by_mean = weight / n * (bounds["running_mean"] + 6 * u * through_mean)
    centring = errors.mean + 8 * u * deviation
    by_var = 2 * weight * factor / n * (deviation * bounds["running_var"] + through_var * centring)
    # Differentiating avg(x^2) - mean^2 subtracts x and mean only after the multiplication.
    uncentred = _PLAIN_ONLY * 8 * u * through_var * (np.abs(call.x) + np.abs(call.batch_mean))
    total: Array = by_mean + by_var + 2 * weight * factor / n * uncentred + precision.floor
    return total
