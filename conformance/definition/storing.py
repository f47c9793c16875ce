"""What a dtype does to numbers: the precision a case is computed in, and what storing in fewer bits leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from conformance.corpus.case import Case
from conformance.definition.batch_norm import Array
from conformance.definition.bounds import Precision, precision_of
from conformance.definition.rules import Rules

__all__ = ["least_precise", "overflowed", "rounded", "storing_error", "working_precision"]


def working_precision(case: Case, rules: Rules, wide: Any) -> Precision:
    """Return the working precision: float32 for inputs of 16 bits, else that of the case.

    The rounding of the oracle's own, which computes in ``wide``, is added.
    """
    computed_in = rules.computed_in if rules.computed_in != "own" else case.dtype
    if rules.state_starts_in != "own" and case.state == "own":
        computed_in = rules.state_starts_in
    if rules.computed_in == "own" and computed_in in ("float16", "bfloat16"):
        computed_in = "float32"
    precision = precision_of(computed_in).with_rounding_of(precision_of(wide))
    return replace(precision, stored=max(0.0, float(ml_dtypes.finfo(case.dtype).eps) / 2))


def least_precise(*dtypes: str) -> str:
    """Return the dtype of the largest unit roundoff, the first of equal ones."""
    return max(dtypes, key=lambda dtype: float(ml_dtypes.finfo(dtype).eps))


def storing_error(value: Array, dtype: str, precision: Precision) -> Array | float:
    """Return the rounding of storing in ``dtype``, where that is less precise than computing."""
    info = ml_dtypes.finfo(dtype)
    unit = float(info.eps) / 2
    if unit <= precision.unit:
        return 0.0
    return np.abs(value).astype(np.float64) * unit + float(info.smallest_subnormal) / 2


def overflowed(value: Array, dtype: str) -> Array:
    """Return the value with what is beyond the range of the dtype as infinity, as storing has it."""
    info = ml_dtypes.finfo(dtype)
    with np.errstate(invalid="ignore"):
        beyond = np.abs(value) >= float(info.max) * (1 + float(info.eps) / 4)
    return np.where(beyond, np.copysign(np.inf, value), value) if beyond.any() else value


def rounded(value: Array, dtype: str) -> Array:
    """Return the value rounded to ``dtype``, in the dtype that it had."""
    narrow: Any = np.dtype(getattr(ml_dtypes, dtype, dtype))
    return value.astype(narrow).astype(value.dtype)
