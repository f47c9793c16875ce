"""The gradients of a large batch in few passes over memory: the same formulas, computed in place.

Where arrays are small, ``gradients`` computes term by term, as the definition has them, and can leave out or change
each. On long rows to go through memory is what takes time; there this computes what is right, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from conformance.definition.batch_norm import Array, Forward, effective_gamma
from conformance.definition.rules import Rules
from conformance.definition.sums import is_long, row_dot, row_sum

__all__ = ["few_passes", "suits"]


def suits(call: Forward, dy: Array, rules: Rules) -> bool:
    """Tell whether the gradients are those of a training call with long rows and nothing changed in its backward."""
    return (
        is_long(dy) and call.mode == "train" and call.weights is None and call.shares == (1, 1)
        and rules.axes == "channel" and rules.epsilon in ("inside", "missing", "squared")
        and rules.output_variance == "population" and rules.variance_centre == "mean"
        and rules.gamma in ("used", "absolute", "plus one") and rules.beta == "used" and rules.dx_gamma == "used"
        and (rules.train_gradient, rules.dgamma, rules.dbeta) == ("full", "exact", "exact")
    )  # fmt: skip


def few_passes(
    call: Forward, dy: Array, rules: Rules, wanted: Collection[str], out: Array | None = None
) -> dict[str, Array]:
    """Return those ``wanted`` of ``x`` as ``(C, n)``, in ``out`` if given, ``gamma`` and ``beta`` as ``(C, 1)``.

    ``dx = gamma / s * (dy - avg(dy) - xhat * avg(dy * xhat))``, ``dgamma = sum(dy * xhat)``, ``dbeta = sum(dy)``
    (Ioffe & Szegedy 2015, section 3).
    """
    found = {"gamma": row_dot(dy, call.xhat), "beta": row_sum(dy)}
    if "x" in wanted:
        n = dy.dtype.type(dy.shape[1])
        dx = np.multiply(call.xhat, found["gamma"] / -n, out=out)
        dx += dy
        dx -= found["beta"] / n
        dx *= effective_gamma(call.parameters, rules) * call.inverse
        found["x"] = dx
    return {name: found[name] for name in wanted if name in found}
