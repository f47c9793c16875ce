"""Orders of summation, and of computing a mean and a variance, that are numerically honest.

All work on channel rows ``(C, n)``, in the rows' own dtype throughout, and return ``(C, 1)``.
"""

# NumPy types operations on arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SUMS", "VARIANCES", "Sum"]

Array: TypeAlias = NDArray[Any]
Sum: TypeAlias = Callable[[Array], Array]


def _pairwise(rows: Array) -> Array:
    """Add neighbours, then the sums of neighbours, and so on."""
    while rows.shape[1] > 1:
        even = rows.shape[1] // 2 * 2
        halves = rows[:, 0:even:2] + rows[:, 1:even:2]
        rows = np.concatenate([halves, rows[:, even:]], axis=1)
    return rows


def _sequential(rows: Array) -> Array:
    sums: Array = np.add.accumulate(rows, axis=1)[:, -1:]
    return sums


def _blocked(rows: Array, lanes: int) -> Array:
    """Add every ``lanes``-th value one by one, as vector units do, then the lanes."""
    missing = -rows.shape[1] % lanes
    padded = np.concatenate([rows, np.zeros((len(rows), missing), rows.dtype)], axis=1)
    return _pairwise(np.add.accumulate(padded.reshape(len(rows), -1, lanes), axis=1)[:, -1])


def _average(rows: Array, total: Sum) -> Array:
    return total(rows) / rows.dtype.type(rows.shape[1])


def _two_pass(rows: Array, total: Sum) -> tuple[Array, Array]:
    mean = _average(rows, total)
    deviation = rows - mean
    return mean, _average(deviation * deviation, total)


def _corrected(rows: Array, total: Sum) -> tuple[Array, Array]:
    """Take the square of the average deviation off, which is zero but for rounding."""
    mean = _average(rows, total)
    deviation = rows - mean
    var = _average(deviation * deviation, total) - _average(deviation, total) ** 2
    return mean, np.maximum(var, rows.dtype.type(0))


def _shifted(rows: Array, total: Sum) -> tuple[Array, Array]:
    """Use ``avg(d^2) - avg(d)^2`` of the distances from the first value."""
    distance = rows - rows[:, :1]
    mean = _average(distance, total)
    var = _average(distance * distance, total) - mean * mean
    return rows[:, :1] + mean, np.maximum(var, rows.dtype.type(0))


def _welford(rows: Array, total: Sum) -> tuple[Array, Array]:  # noqa: ARG001  (sums as it goes)
    mean, squares = _running(rows[:, :, None])
    return mean, squares / rows.dtype.type(rows.shape[1])


def _merged(rows: Array, total: Sum) -> tuple[Array, Array]:  # noqa: ARG001
    """Run Welford's recurrence in 8 lanes and merge them (Chan, Golub & LeVeque 1983)."""
    number, lanes = rows.dtype.type, 8
    even = rows.shape[1] // lanes * lanes
    if not even:
        return _welford(rows, _pairwise)
    means, squares = _running(rows[:, :even].reshape(len(rows), -1, lanes))
    count = even // lanes
    while means.shape[1] > 1:
        gap = means[:, 1::2] - means[:, ::2]
        squares = squares[:, ::2] + squares[:, 1::2] + gap * gap * number(count / 2)
        means, count = means[:, ::2] + gap / number(2), 2 * count
    for k in range(even, rows.shape[1]):
        gap = rows[:, k : k + 1] - means
        means = means + gap / number(k + 1)
        squares = squares + gap * (rows[:, k : k + 1] - means)
    return means, squares / number(rows.shape[1])


def _running(lanes: Array) -> tuple[Array, Array]:
    """Return mean and sum of squared deviations along the second axis by Welford's recurrence (1962)."""
    mean, squares = lanes[:, 0], np.zeros_like(lanes[:, 0])
    for k in range(1, lanes.shape[1]):
        gap = lanes[:, k] - mean
        mean = mean + gap / lanes.dtype.type(k + 1)
        squares = squares + gap * (lanes[:, k] - mean)
    return mean, squares


SUMS: dict[str, Sum] = {
    "pairwise": _pairwise,
    "NumPy's": lambda rows: np.asarray(rows.sum(axis=1, keepdims=True)),
    "blocked 8": partial(_blocked, lanes=8),
    "blocked 16": partial(_blocked, lanes=16),
    "blocked 32": partial(_blocked, lanes=32),
    "sequential": _sequential,
}
VARIANCES: dict[str, Callable[[Array, Sum], tuple[Array, Array]]] = {
    "two-pass": _two_pass,
    "two-pass corrected": _corrected,
    "shifted one-pass": _shifted,
    "Welford": _welford,
    "Welford merged": _merged,
}
