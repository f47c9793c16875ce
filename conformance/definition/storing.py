"""What storing in a dtype does to numbers: rounding, and overflow."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from conformance.definition.batch_norm import Array
from conformance.definition.precision import Precision, unit_of

__all__ = ["overflowed", "reach", "rounded", "storing_error"]


def storing_error(value: Array, dtype: str, precision: Precision) -> Array | float:
    """Return the rounding of storing in ``dtype``, where that is less precise than computing."""
    unit = unit_of(dtype)
    if unit <= precision.unit:
        return 0.0
    return np.abs(value).astype(np.float64) * unit + float(ml_dtypes.finfo(dtype).smallest_subnormal) / 2


def reach(value: Array, error: Array, dtype: str) -> Array:
    """Return how far from the rounded ``value`` a number may be stored that is ``error`` away from it at most.

    Zero, unless it is as near to the middle between two numbers of the dtype as that.
    """
    stored = rounded(value, dtype)
    ends = [np.abs(rounded(value + sign * error, dtype) - stored) for sign in (-1, 1)]
    furthest: Array = np.maximum(*ends)
    return furthest


def overflowed(value: Array, dtype: str) -> Array:
    """Return the value with what is beyond the range of the dtype as infinity, as storing has it."""
    beyond = np.abs(value) >= _furthest(dtype)
    return np.where(beyond, np.copysign(np.inf, value), value) if np.count_nonzero(beyond) else value


@lru_cache(maxsize=64)
def _furthest(dtype: str) -> float:
    """Return the least size that rounds to infinity: half a step beyond the largest number."""
    info = ml_dtypes.finfo(dtype)
    return float(info.max) * (1 + float(info.eps) / 4)


def rounded(value: Array, dtype: str) -> Array:
    """Return the value rounded to ``dtype``, in the dtype that it had."""
    narrow: Any = np.dtype(getattr(ml_dtypes, dtype, dtype))
    return value.astype(narrow).astype(value.dtype)
