"""How far rounding may take gradients: the error bounds, tight and plain, element-wise; see ``bounds.py``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from conformance.definition.batch_norm import Array, Forward, effective_gamma
from conformance.definition.bounds import PLAIN_ONLY, ForwardErrors, StateErrors
from conformance.definition.precision import Precision
from conformance.definition.rules import Rules
from conformance.definition.sums import row_sum

__all__ = ["gradient_errors", "update_gradient_error"]


def gradient_errors(
    call: Forward, errors: ForwardErrors, dy: Array, precision: Precision, rules: Rules, wanted: Collection[str]
) -> dict[str, Array]:
    """Bound the errors of the ``wanted`` gradients: ``x`` as ``(2, C, n)``, the others as ``(2, C, 1)``."""
    bounds = _GradientErrors(call, errors, dy, precision, rules)
    return {name: getattr(bounds, name) + precision.floor for name in wanted}


@dataclass(frozen=True)
class _GradientErrors:
    """The bounds of all gradients by the name of the variable, and the sums that they share, each made when needed."""

    call: Forward
    errors: ForwardErrors
    dy: Array
    precision: Precision
    rules: Rules

    @cached_property
    def growth(self) -> Array:
        """Return what sums err by, relative to the sum of the sizes of their terms."""
        return self.precision.growth(self.dy.shape[1]) * self.precision.unit

    @cached_property
    def size(self) -> Array:
        return np.abs(self.dy)

    @cached_property
    def sum_size(self) -> Array:
        return row_sum(self.size)

    @cached_property
    def product(self) -> Array:
        return self.dy * self.call.xhat

    @cached_property
    def products(self) -> Array:
        """Return ``sum |dy xhat|``."""
        return row_sum(np.abs(self.product))

    @cached_property
    def sum_product(self) -> Array:
        """Return ``sum(dy xhat)``."""
        return row_sum(self.product)

    @cached_property
    def factor(self) -> Array:
        """Return ``|gamma|``."""
        return np.abs(effective_gamma(self.call.parameters, self.rules))

    @cached_property
    def scaled(self) -> Array:
        return self.call.inverse * (1 + self.errors.relative)

    @property
    def beta(self) -> Array:
        bound: Array = self.growth * self.sum_size
        if self.rules.dbeta == "input precision":
            bound = bound + self.precision.stored * np.abs(row_sum(self.dy))
        return bound

    @cached_property
    def gamma(self) -> Array:
        bound: Array = self.growth * self.products + np.add.reduce(self.size * self.errors.xhat, axis=2, keepdims=True)
        # Multiplied out, ``sum(dy x) - mean sum(dy)``.
        folded = row_sum(self.size * self.call.reach) * self.call.inverse
        return bound + PLAIN_ONLY * self.growth * folded

    @property
    def x(self) -> Array:
        u, rules, call = self.precision.unit, self.rules, self.call
        if call.mode == "train" or rules.evaluate_gradient == "through statistics":
            bound: Array = self.factor * self.scaled * self._bracket()
        else:
            bound = self.factor * call.inverse * self.size * (self.errors.relative + 3 * u)
        if rules.gradient_terms == "input precision":
            bound = bound + 2 * self.precision.stored * self.factor * call.inverse * self.terms
        return bound

    def _bracket(self) -> Array:
        """Bound the error of ``dy - avg(dy) - xhat * avg(dy * xhat)``, ``(2, C, n)``."""
        u, call, errors, terms = self.precision.unit, self.call, self.errors, self.terms
        projection = np.abs(self.sum_product / call.count)
        bracket: Array = 4 * u * terms + self.growth * self.sum_size / call.count + terms * errors.relative
        bracket += (np.abs(call.xhat) + errors.xhat) * self.gamma / call.count
        bracket += errors.xhat * projection
        if self.rules.variance_algorithm != "two-pass":
            bracket = bracket + 4 * u * projection * call.inverse * call.reach
        return bracket

    @cached_property
    def terms(self) -> Array:
        """Return the sum of the sizes of the three terms of the training gradient, ``(C, n)``."""
        call = self.call
        through_variance = np.abs(call.xhat * self.sum_product / call.count)
        total: Array = self.size + np.abs(row_sum(self.dy)) / call.count + through_variance
        return total

    @property
    def running_mean(self) -> Array:
        u = self.precision.unit
        bound: Array = self.growth * self.sum_size + self.sum_size * (self.errors.relative + 3 * u)
        return self.factor * self.scaled * bound

    @property
    def running_var(self) -> Array:
        """Bound the error of ``slope * sum(dy * (x - mean))``: that of ``dgamma``, scaled by ``gamma / (2 s^2)``."""
        call, relative = self.call, self.errors.relative
        scale = np.abs(call.parameters.gamma) * np.abs(call.slope) / call.inverse
        bound: Array = self.gamma + self.products * (3 * relative + 6 * self.precision.unit)
        return scale * (1 + 3 * relative) * bound


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
    uncentred = PLAIN_ONLY * 8 * u * through_var * (np.abs(call.x) + np.abs(call.batch_mean))
    total: Array = by_mean + by_var + 2 * weight * factor / n * uncentred + precision.floor
    return total
