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
    """Errors of an observed array, element-wise, in the layout of the prediction.

    ``ratio`` is error over tight bound; an error where none is allowed is infinite. ``largest`` is where in C order the
    largest ratio is, 0 if there is no element.
    """

    observed: Array
    expected: Expected
    error: Array
    ratio: Array
    largest: int

    @property
    def tight(self) -> bool:
        """Tell whether every element is inside its tight bound.

        That is what the ratios say: a quotient of two numbers is rounded to 1 or less only if it is 1 or less, since
        the next larger dividend makes it larger than 1 by more than half of what separates 1 from the next number.
        """
        return not self.ratio.size or self.ratio.item(self.largest) <= 1

    @cached_property
    def plain(self) -> bool:
        """Tell whether every element is inside its plain bound, which is never the narrower one."""
        return self.tight or bool(_inside(self.error, self.expected.plain).all())

    @cached_property
    def furthest(self) -> int:
        """Return where in C order the worst element is: outside the plain bound if any is, by ratio."""
        if self.plain:
            return self.largest
        return int(np.where(_inside(self.error, self.expected.plain), -1, self.ratio).argmax())

    @property
    def worst(self) -> tuple[int, ...]:
        """Return the index of the worst element."""
        index, left = [], self.furthest
        for length in reversed(self.error.shape):
            left, at = divmod(left, length)
            index.append(at)
        return tuple(reversed(index))


def compare(observed: Array, expected: Expected) -> Comparison | Mismatch:
    """Compare shape and dtype first, then values: a NaN equals a NaN, an infinity itself, and nothing else.

    Where the bound is NaN, they equal each other too.
    """
    value = expected.value
    if observed.shape != value.shape:
        return Mismatch(f"shape {observed.shape}, expected {value.shape}")
    if (found := dtype_name(observed.dtype)) != expected.dtype:
        return Mismatch(f"dtype {found}, expected {expected.dtype}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gap = _gap(observed.astype(value.dtype), value, expected.plain)
        if expected.undefined is not None:
            gap = np.where(expected.undefined & ~np.isfinite(observed), 0.0, gap)
        ratio = _over(gap, expected.tight)
    return Comparison(observed, expected, gap, ratio, int(ratio.argmax()) if ratio.size else 0)


@lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype, which NumPy puts together anew each time."""
    return dtype.name


def apart(one: Expected, other: Expected) -> bool:
    """Tell whether two predictions differ in shape or dtype, or by more than the sum of their bounds anywhere."""
    if one is other:
        return False
    if one.value.shape != other.value.shape or one.dtype != other.dtype:
        return True
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = one.plain + other.plain
        return not bool(_inside(_gap(one.value, other.value, allowed), allowed).all())


def widened(reference: Expected, declared: Expected) -> bool:
    """Tell whether the second prediction allows clearly more rounding than the first, anywhere."""
    return declared is not reference and bool((declared.plain > 2 * reference.plain).any())


def distance(one: Expected, observed: Array, unit: Array) -> float:
    """Return the largest error over ``unit``, the bounds of another prediction; infinite where shapes differ."""
    comparison = compare(observed, one)
    if isinstance(comparison, Mismatch) or unit.shape != comparison.error.shape:
        return float("inf")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return float(_over(comparison.error, unit).max(initial=0.0))


# What follows is called where NumPy's warnings are off: to turn them off takes as long as to compare a small array.


def _gap(one: Array, other: Array, allowed: Array) -> Array:
    """Return the distance element by element; a NaN is at no distance from a NaN, at an infinite one from a number.

    Where the bound is NaN, all that is not finite is alike.
    """
    gap: Array = np.abs(one - other).astype(np.float64, copy=False)
    if np.count_nonzero(np.isfinite(gap)) < gap.size:
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        same |= np.isnan(allowed) & ~np.isfinite(one) & ~np.isfinite(other)
        gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
    return gap


def _inside(error: Array, bound: Array) -> Array:
    """Tell where an error is allowed: no bound, be it infinite or NaN, excuses an infinite error."""
    inside: Array = (error == 0) | ((error <= bound) & np.isfinite(error))
    return inside


def _over(error: Array, bound: Array) -> Array:
    """Return error over bound: 0 where there is no error, infinite where an infinite one has an infinite bound."""
    ratio = np.divide(error, bound, out=np.zeros(error.shape), where=error != 0)
    return np.where(np.isnan(ratio), np.inf, ratio) if np.count_nonzero(np.isnan(ratio)) else ratio
