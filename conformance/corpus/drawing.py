"""Random numbers from a description: the same bits on every machine and every version of NumPy."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CENTRE", "SPREAD", "key_of", "normal", "normal_of", "uniform", "uniform_of"]

#: Part of every description: raise it to draw every input anew.
_EPOCH = 1
#: Mean and standard deviation of a sum of four uniform 16-bit integers.
CENTRE = 4 * 65535 // 2
SPREAD = math.sqrt((2**32 - 1) / 3)


def key_of(description: dict[str, Any]) -> int:
    """Return the seed of what is described so: 128 bits of the SHA-256 of the description."""
    text = json.dumps({"epoch": _EPOCH, **description}, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def normal_of(shape: tuple[int, ...], description: dict[str, Any]) -> NDArray[np.float64]:
    """Return what ``normal`` draws for a description, of which the shape is a part."""
    return normal(key_of({**description, "shape": shape}), shape)


def uniform_of(count: int, description: dict[str, Any]) -> NDArray[np.float64]:
    """Return what ``uniform`` draws for a description, of which the shape is a part."""
    return uniform(key_of({**description, "shape": (count,)}), count)


def normal(key: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return values of mean 0 and variance 1 from a seed: sums of four uniforms, within 3.5 of zero."""
    words = _raw(math.prod(shape), key)
    total = sum(((words >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.int64) for k in range(4))
    return np.asarray((total - CENTRE) / SPREAD, dtype=np.float64).reshape(shape)


def uniform(key: int, count: int) -> NDArray[np.float64]:
    """Return values in [0, 1), multiples of 2^-53, from a seed, shape ``(count,)``."""
    return (_raw(count, key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _raw(count: int, key: int) -> NDArray[np.uint64]:
    """Return raw 64-bit words.

    NumPy keeps the raw stream of a bit generator the same in every version; it does not promise
    that of its distributions, which is why they are not used.
    """
    return np.asarray(np.random.Philox(key=key).random_raw(count), dtype=np.uint64)
