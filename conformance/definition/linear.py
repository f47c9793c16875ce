"""A linear layer before a batch norm, and the one linear layer that the two are in evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from conformance.definition.batch_norm import (
    Array,
    Parameters,
    State,
    by_channel,
    effective_gamma,
    inverse_scale,
    statistics,
)
from conformance.definition.rules import Rules

__all__ = ["Linear", "folded"]


@dataclass(frozen=True)
class Linear:
    """``kernel``, shape ``(C, F / G, *extents)`` with odd extents, and ``bias``, shape ``(C,)``, or none.

    Of inputs ``(N, F, *spatial)`` it makes outputs ``(N, C, *spatial)``: without spatial dimensions a dense layer, else
    a convolution (not mirrored, of stride 1) with zeros around its input, in ``G`` groups: the ``k``-th ``C / G``
    outputs are made of the ``k``-th ``F / G`` inputs. In the precision of its arrays.
    """

    kernel: Array
    bias: Array | None = None

    def __call__(self, x: Array) -> Array:
        """Return ``y[n, c, p] = bias[c] + sum over f, q of kernel[c, f, q] * x[n, f, p + q]``, ``f`` in the group."""
        groups = x.shape[1] // self.kernel.shape[1]
        total = np.zeros((len(x), len(self.kernel), *x.shape[2:]), x.dtype)
        for weights, values in self._terms(x):
            inputs = values.reshape(len(x), groups, weights.shape[1], -1)
            total = total + (weights.reshape(groups, -1, weights.shape[1]) @ inputs).reshape(total.shape)
        return total if self.bias is None else total + _spread(self.bias, x.ndim)

    @property
    def terms(self) -> int:
        """Return how many terms one output is the sum of, the bias included."""
        return prod(self.kernel.shape[1:]) + 1

    def sizes(self, x: Array) -> Array:
        """Return the sums of the sizes of the products, without the bias."""
        return Linear(np.abs(self.kernel))(np.abs(x))

    def _terms(self, x: Array) -> Iterator[tuple[Array, Array]]:
        """Yield the kernel at each place of its extents, with the input moved there."""
        extents, spatial = self.kernel.shape[2:], x.shape[2:]
        wide = np.pad(x, ((0, 0), (0, 0), *((extent // 2, extent // 2) for extent in extents)))
        for place in product(*(range(extent) for extent in extents)):
            window = tuple(slice(start, start + length) for start, length in zip(place, spatial, strict=True))
            weights: Any = (..., *place)
            yield self.kernel[weights], wide[(slice(None), slice(None), *window)]


def folded(linear: Linear, parameters: Parameters, state: State, x: Array, given: float, rules: Rules) -> Linear:
    """Return the linear layer that does what ``linear`` and a batch norm do in evaluate (Jacob et al. 2018, eq. 14).

    ``kernel' = gamma / s * kernel`` and ``bias' = gamma / s * (bias - running_mean) + beta``. ``x`` is what a mistaken
    fold takes statistics of, ``given`` the epsilon that the layer was given, whatever it keeps of that.
    """
    mean, var = state.mean, state.var
    if rules.folded_statistics == "batch":
        mean, var = statistics(by_channel(linear(x)), (len(x), len(linear.kernel), *x.shape[2:]), rules)
    epsilon = {"kept": parameters.epsilon, "missing": 0.0, "as given": given}[rules.folded_epsilon]
    inverse, _ = inverse_scale("evaluate", var, epsilon, rules)
    factor = (effective_gamma(parameters, rules) * inverse)[:, 0]
    beta = parameters.beta[:, 0] if rules.beta == "used" else 0 * parameters.beta[:, 0]
    lost = linear.bias is None or rules.folded_bias == "lost"
    bias = np.zeros_like(factor) if lost or linear.bias is None else linear.bias
    if rules.folded_bias == "unscaled":
        offset = bias - factor * mean[:, 0] + beta
    else:
        offset = factor * (bias - mean[:, 0]) + beta
    # A mistake: the features of each group are taken for the first channels.
    by = factor[:, None] if rules.folded_axis == "units" else factor[None, : linear.kernel.shape[1]]
    return Linear(linear.kernel * by.reshape(*by.shape, *(1,) * (linear.kernel.ndim - 2)), offset)


def _spread(values: Array, rank: int) -> Array:
    return values.reshape(-1, *(1,) * (rank - 2))
