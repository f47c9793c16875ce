"""The gradients of ``sum(y * dy)``, in channel rows, for either mode."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from conformance.definition.batch_norm import Array, Forward, average, effective_gamma, mask_count
from conformance.definition.long_rows import few_passes, suits
from conformance.definition.rules import Rules
from conformance.definition.sums import row_sum
from conformance.definition.taylor import held

__all__ = ["gradients", "statistics_gradients", "update_gradient"]


def gradients(
    call: Forward, dy: Array, rules: Rules, wanted: Collection[str] = ("x", "gamma", "beta"), out: Array | None = None
) -> dict[str, Array]:
    """Return those ``wanted`` of ``x`` as ``(C, n)``, ``gamma`` and ``beta`` as ``(C, 1)``.

    In train ``dx = gamma / s * (dy - avg(dy) - xhat * avg(dy * xhat))``, in evaluate the statistics
    are constants: ``dx = gamma / s * dy``; ``dgamma = sum(dy * xhat)``, ``dbeta = sum(dy)``
    (Ioffe & Szegedy 2015, section 3). Of a large batch ``x`` is written to ``out``, where one is given.
    """
    if suits(call, dy, rules):
        return few_passes(call, dy, rules, wanted, out)
    return {name: formula(call, dy, rules) for name, formula in _FORMULAS.items() if name in wanted}


def _dx(call: Forward, dy: Array, rules: Rules) -> Array:
    gamma = 1 if rules.dx_gamma == "missing" else effective_gamma(call.parameters, rules)
    kind = rules.train_gradient if call.mode == "train" else rules.evaluate_gradient
    if kind == "zero":
        return 0 * dy
    if kind in ("constant", "detached"):
        return gamma * call.inverse * dy
    deviation = call.x - call.mean
    through_mean = call.inverse * _averaged(call, dy, rules)
    # slope is the derivative of 1/s by the variance, and 2 * deviation / n that of the variance by x.
    centred: Array = deviation if call.shares == (1, 1) else call.x - call.batch_mean
    if rules.variance_centre != "mean":
        centred = call.x - held(call.mean)
    centred = _without_sum(call, centred, rules)
    through_variance = 2 * call.slope * centred * _averaged(call, dy * deviation, rules)
    through_mean, through_variance = call.shares[0] * through_mean, call.shares[1] * through_variance
    if kind == "mean detached":
        through_mean = 0 * through_mean
    if kind == "variance detached":
        through_variance = 0 * through_variance
    if kind == "sample":
        n = dy.dtype.type(dy.shape[1])
        through_mean, through_variance = through_mean * n / (n - 1), through_variance * n / (n - 1)
    if call.mode == "train" and rules.output_variance == "sample":
        n = dy.dtype.type(dy.shape[1])
        through_variance = through_variance * n / (n - 1)
    dx: Array = gamma * (call.inverse * dy - through_mean + through_variance)
    return dx


def _without_sum(call: Forward, deviation: Array, rules: Rules) -> Array:
    """Return half of what the variance times its count changes by with ``x``: the deviations.

    Around the mean they sum to zero; around what a padded count makes of it they do not.
    """
    if call.weights is None or rules.mask != "count padded":
        return deviation
    return deviation - row_sum(deviation * call.weights) / mask_count(call.weights, rules)


def _averaged(call: Forward, rows: Array, rules: Rules) -> Array:
    """Average what comes back to the statistics, and give it to the values that made them.

    Under a mask every output depends on the statistics, but only the values that are let in do make them.
    """
    if call.weights is None or rules.mask == "ignored":
        return average(rows, call.shape, rules)
    return row_sum(rows) / mask_count(call.weights, rules) * call.weights


def _dgamma(call: Forward, dy: Array, rules: Rules) -> Array:
    xhat = call.xhat
    if rules.dgamma == "zero" or rules.gamma == "ignored":
        return 0 * row_sum(dy)
    if rules.dgamma == "uncentred":
        xhat = call.x * call.inverse
    elif rules.dgamma == "unscaled":
        xhat = call.x - call.mean
    elif rules.dgamma == "batch in evaluate" and call.mode == "evaluate":
        xhat = (call.x - call.batch_mean) / (call.batch_var + dy.dtype.type(call.parameters.epsilon)) ** 0.5
    elif rules.gamma == "after beta":
        xhat = xhat + call.parameters.beta
    dgamma = row_sum(dy * xhat)
    return dgamma / dy.dtype.type(dy.shape[1]) if rules.dgamma == "average" else dgamma


def _dbeta(call: Forward, dy: Array, rules: Rules) -> Array:
    dbeta = row_sum(dy)
    if rules.dbeta == "zero" or rules.beta == "ignored":
        return 0 * dbeta
    if rules.dbeta == "scaled" or rules.gamma == "after beta":
        return dbeta * call.parameters.gamma
    return dbeta / dy.dtype.type(dy.shape[1]) if rules.dbeta == "average" else dbeta


_FORMULAS = {"x": _dx, "gamma": _dgamma, "beta": _dbeta}


def statistics_gradients(call: Forward, dy: Array, rules: Rules) -> dict[str, Array]:
    """Return the gradients with respect to the statistics that an evaluate was given, ``(C, 1)``.

    ``-gamma / s * sum(dy)`` and ``-gamma / (2 s^3) * sum(dy * (x - running_mean))``: the option leaf.
    """
    gamma = effective_gamma(call.parameters, rules)
    return {
        "running_mean": -gamma * call.inverse * row_sum(dy),
        "running_var": gamma * call.slope * row_sum(dy * (call.x - call.mean)),
    }


def update_gradient(earlier: Forward, by_state: dict[str, Array], weight: Any, factor: Any) -> Array:
    """Return the gradient with respect to an earlier batch, through the update of the state, ``(C, n)``.

    ``a / n * d_running_mean + 2 a b / n * (x - mean) * d_running_var`` for the weight ``a`` of the
    update and the estimator's factor ``b``: the option differentiable.
    """
    n = earlier.x.shape[1]
    through_mean = by_state["running_mean"] * (weight / n)
    through_var = by_state["running_var"] * (2 * weight * factor / n)
    total: Array = through_mean + through_var * (earlier.x - earlier.batch_mean)
    return total
