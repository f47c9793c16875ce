"""Numbers without rounding: arrays by channel, sums, differences, and the elements that are sampled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from mpmath import mp, mpf

Index: TypeAlias = tuple[int, ...]
Answer: TypeAlias = tuple[int, str, Index, Any]
Channel: TypeAlias = list[Any]

#: Elements of x per channel whose gradient is differenced, where there are more.
SAMPLES = 3
#: Width of a difference, as a part of what its argument is measured by: its own error is of the order
#: of the square, and the rounding of 80 digits 1e-63 of the result, 1e-39 in a second difference of those.
WIDTH = mpf("1e-17")
WIDTH_ALONG = mpf("1e-12")


@dataclass
class Batch:
    """An input by channel: the values of each, and the index in the array that each value has."""

    channels: list[Channel]
    indices: list[list[Index]]


def by_channel(array: Any) -> Batch:
    rest = [range(length) for length in (array.shape[0], *array.shape[2:])]
    indices = [[(i, c, *k) for i, *k in product(*rest)] for c in range(array.shape[1])]
    return Batch([[exact(array[i]) for i in channel] for channel in indices], indices)


def exact(value: Any) -> Any:
    """Return a number of any dtype up to float64 without rounding."""
    return mpf(float(np.float64(value)))


def exacts(values: Any) -> Channel:
    return [exact(value) for value in values]


def replaced(xs: Channel, k: int, x: Any) -> Channel:
    return [*xs[:k], x, *xs[k + 1 :]]


def moments_of(xs: Channel, counts: list[bool] | None = None) -> tuple[Any, Any]:
    if counts is not None:
        xs = [x for x, counted in zip(xs, counts, strict=True) if counted]
    mean = mp.fsum(xs) / len(xs)
    return mean, mp.fsum((x - mean) ** 2 for x in xs) / len(xs)


def dot(ys: Channel, dys: Channel) -> Any:
    return mp.fsum(y * dy for y, dy in zip(ys, dys, strict=True))


def slope(loss: Callable[[Any], Any], at: Any, unit: Any) -> Any:
    """Return the central difference of ``loss``, its argument being of the size of ``unit``."""
    width = WIDTH * unit
    return (loss(at + width) - loss(at - width)) / (2 * width)


def sample(case_id: str, number: int, name: str, c: int, n: int) -> list[int]:
    if n <= SAMPLES:
        return list(range(n))
    digest = hashlib.sha256(f"{case_id} {number} {name} {c}".encode()).digest()
    return sorted({int.from_bytes(digest[4 * k : 4 * k + 4], "big") % n for k in range(SAMPLES)})
