"""How precise arithmetic in a dtype is, and what a case is computed in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from conformance.corpus.case import Case
from conformance.definition.batch_norm import Array
from conformance.definition.rules import Rules

__all__ = ["HALVES", "Precision", "precision_of", "state_dtypes", "unit_of", "working_precision"]

#: The dtypes of 16 bits.
HALVES = ("float16", "bfloat16")


@dataclass(frozen=True)
class Precision:
    """What the implementation computes in.

    ``unit`` is the unit roundoff; ``floor`` an absolute error that any operation may add, the
    smallest normal number, since frameworks flush subnormal numbers to zero.
    """

    unit: float
    floor: float
    #: The unit roundoff of the input's dtype, where that is less precise than what is computed in.
    stored: float = 0.0

    def with_rounding_of(self, oracle: Precision) -> Precision:
        """Return this precision with the rounding of the oracle's own added."""
        return replace(self, unit=self.unit + oracle.unit)

    def growth(self, n: int) -> Array:
        """Return ``c`` for sums of ``n`` terms, shape ``(2, 1, 1)``: tight and plain."""
        return _growth(n)


@lru_cache(maxsize=256)
def _growth(n: int) -> Array:
    growth = np.array([min(np.log2(n) + 2, max(n, 3)), max(n, 3)]).reshape(2, 1, 1)
    growth.flags.writeable = False
    return growth


@lru_cache(maxsize=64)
def precision_of(dtype: Any) -> Precision:
    """Return the precision of arithmetic in a dtype, 16-bit ones included."""
    return Precision(unit=unit_of(dtype), floor=float(ml_dtypes.finfo(dtype).tiny))


@lru_cache(maxsize=64)
def unit_of(dtype: Any) -> float:
    """Return the unit roundoff of a dtype: half the distance from 1 to the next number."""
    return float(ml_dtypes.finfo(dtype).eps) / 2


def working_precision(case: Case, rules: Rules, wide: Any) -> Precision:
    """Return the working precision: float32 for inputs of 16 bits, else that of the case.

    The rounding of the oracle's own, which computes in ``wide``, is added.
    """
    computed_in = rules.computed_in if rules.computed_in != "own" else case.dtype
    if rules.computed_in == "own" and computed_in in HALVES:
        computed_in = "float32"
    return _working(computed_in, case.dtype, wide)


@lru_cache(maxsize=64)
def _working(computed_in: str, dtype: str, wide: Any) -> Precision:
    precision = precision_of(computed_in).with_rounding_of(precision_of(wide))
    return replace(precision, stored=unit_of(dtype))


def state_dtypes(param_dtype: str, rules: Rules, *, given: bool) -> tuple[str, str]:
    """Return the dtype of the state at the start, ``given`` or made by the layer, and once it was updated.

    The parameters', unless the dialect or a rule has another.
    """
    wider = param_dtype in HALVES and rules.dialect.state_dtype == "float32"
    settled = _least_precise("float32" if wider else param_dtype, rules.state_kept_in)
    return settled if given else _least_precise(settled, rules.state_starts_in), settled


def _least_precise(dtype: str, other: str) -> str:
    return dtype if other == "own" else max(dtype, other, key=unit_of)
