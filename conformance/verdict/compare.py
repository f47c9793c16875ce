"""Comparison of one observed array with one prediction, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.definition.prediction import Expected

__all__ = ["Comparison", "Mismatch", "apart", "compare", "distance", "dtype_name", "widened"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Mismatch:
    """Shape or dtype is wrong, so that no value is compared."""

    reason: str


@dataclass(frozen=True)
class Comparison:
    """Errors of an observed array, element-wise, in the layout of the prediction."""

    observed: Array
    expected: Expected
    error: Array

    @cached_property
    def ratio(self) -> Array:
        """Return error over tight bound; an error where none is allowed is infinite."""
        return _over(self.error, self.expected.tight)

    @cached_property
    def tight(self) -> bool:
        """Tell whether every element is inside its tight bound."""
        return bool(_inside(self.error, self.expected.tight).all())

    @cached_property
    def plain(self) -> bool:
        """Tell whether every element is inside its plain bound, which is never the narrower one."""
        return self.tight or bool(_inside(self.error, self.expected.plain).all())

    @property
    def worst(self) -> tuple[int, ...]:
        """Return the index of the worst element: outside the plain bound if any is, by ratio."""
        ratio = self.ratio
        if not self.plain:
            ratio = np.where(_inside(self.error, self.expected.plain), -1, ratio)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), self.error.shape))


def compare(observed: Array, expected: Expected) -> Comparison | Mismatch:
    """Compare shape and dtype first, then values: a NaN equals a NaN, an infinity itself, and nothing else.

    Where the bound is NaN, they equal each other too.
    """
    if observed.shape != expected.value.shape:
        return Mismatch(f"shape {observed.shape}, expected {expected.value.shape}")
    if (found := dtype_name(observed.dtype)) != expected.dtype:
        return Mismatch(f"dtype {found}, expected {expected.dtype}")
    gap = _gap(observed.astype(expected.value.dtype), expected.value, expected.plain)
    if expected.undefined is not None:
        gap = np.where(expected.undefined & ~np.isfinite(observed), 0.0, gap)
    return Comparison(observed, expected, gap)


@lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype, which NumPy puts together anew each time."""
    return dtype.name


def apart(one: Expected, other: Expected) -> bool:
    """Tell whether two predictions differ in shape or dtype, or by more than the sum of their bounds anywhere."""
    if one.value.shape != other.value.shape or one.dtype != other.dtype:
        return True
    allowed = one.plain + other.plain
    return not bool(_inside(_gap(one.value, other.value, allowed), allowed).all())


def widened(reference: Expected, declared: Expected) -> bool:
    """Tell whether the second prediction allows clearly more rounding than the first, anywhere."""
    return bool((declared.plain > 2 * reference.plain).any())


def distance(one: Expected, observed: Array, unit: Array) -> float:
    """Return the largest error over ``unit``, the bounds of another prediction; infinite where shapes differ."""
    comparison = compare(observed, one)
    if isinstance(comparison, Mismatch) or unit.shape != comparison.error.shape:
        return float("inf")
    return float(_over(comparison.error, unit).max(initial=0.0))


def _gap(one: Array, other: Array, allowed: Array) -> Array:
    """Return the distance element by element; a NaN is at no distance from a NaN, at an infinite one from a number.

    Where the bound is NaN, all that is not finite is alike.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        gap: Array = np.abs(one - other).astype(np.float64)
        if not np.isfinite(gap).all():
            same = (one == other) | (np.isnan(one) & np.isnan(other))
            same |= np.isnan(allowed) & ~np.isfinite(one) & ~np.isfinite(other)
            gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
    return gap


def _inside(error: Array, bound: Array) -> Array:
    """Tell where an error is allowed: no bound, be it infinite or NaN, excuses an infinite error."""
    inside: Array = (error == 0) | ((error <= bound) & np.isfinite(error))
    return inside


def _over(error: Array, bound: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0.0, error / bound)
    return np.where(np.isnan(ratio), np.inf, ratio)
