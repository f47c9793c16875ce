"""Sums and averages along rows, ``(C, n)`` to ``(C, 1)``, of arrays and of what formulas are evaluated on instead."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_long", "row_dot", "row_mean", "row_sum"]

Array: TypeAlias = NDArray[np.floating[Any]]

#: From so many values on it is going through memory that takes time, and not to call NumPy.
_LONG = 2**12
#: So many products are added one after the other, as many as NumPy's own pairwise sums add at their ends.
_RUN = 128


def row_mean(rows: Array) -> Array:
    """Return the average of each row, ``(C, 1)``."""
    if type(rows) is np.ndarray and rows.itemsize > 2:  # what ``mean`` does, in a third of the time of a short row
        return rows if rows.shape[1] == 1 else np.add.reduce(rows, axis=1, keepdims=True) / rows.shape[1]
    means: Array = rows.mean(axis=1, keepdims=True)
    return means


def row_sum(rows: Array) -> Array:
    """Return the sum of each row, ``(C, 1)``."""
    sums: Array = rows.sum(axis=1, keepdims=True)
    return sums


def is_long(rows: Array) -> bool:
    """Tell whether these are arrays proper with rows so long that formulas had better be computed in place."""
    return type(rows) is np.ndarray and rows.shape[1] >= _LONG


def row_dot(one: Array, other: Array) -> Array:
    """Return the sums of the products of two arrays of long rows, ``(C, 1)``, which are stored nowhere.

    Runs of products are added pairwise, so that the error is that of a pairwise sum: what is added one by one is no
    longer than in NumPy's own.
    """
    whole = one.shape[1] - one.shape[1] % _RUN
    runs = (one[:, :whole].reshape(len(one), -1, _RUN), other[:, :whole].reshape(len(one), -1, _RUN))
    sums = np.add.reduce(_DOT(*runs), axis=1, keepdims=True)
    return sums + _DOT(one[:, whole:], other[:, whole:])[:, None] if whole < one.shape[1] else sums


def _einsum(one: Array, other: Array) -> Array:
    dots: Array = np.einsum("...i,...i->...", one, other)
    return dots


#: NumPy has it from 2.0 on; before, ``einsum`` takes one and a half times as long.
_DOT: Any = getattr(np, "vecdot", _einsum)
