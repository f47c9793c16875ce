"""Statistics of a batch that are rounded on their way to the output, or to the backward."""

from __future__ import annotations

from dataclasses import replace

from conformance.definition.batch_norm import Forward, affine
from conformance.definition.rules import Rules
from conformance.definition.storing import rounded

__all__ = ["saved"]


def saved(call: Forward, dtype: str, rules: Rules) -> Forward:
    """Return the forward as it is with its mean and ``1 / s`` rounded to ``dtype``, ``(C, 1)`` each."""
    mean, inverse = rounded(call.mean, dtype), rounded(call.inverse, dtype)
    xhat = (call.x - mean) * inverse
    y = affine(xhat, call.parameters, rules)
    return replace(call, mean=mean, inverse=inverse, slope=-(inverse**3) / 2, xhat=xhat, y=y)
