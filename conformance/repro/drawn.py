"""Large arrays as the few lines of NumPy that draw them: the same bits, where a literal would be megabytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.corpus.case import Case
from conformance.corpus.drawing import CENTRE, SPREAD, key_of, normal, uniform

__all__ = ["HELPERS", "drawn"]

#: What the lines call: raw words of a bit generator, which every version of NumPy gives alike.
HELPERS = f'''

def normal(key, shape):
    """Draw float64 values of mean 0 and variance 1: sums of four integers of 16 bits."""
    words = np.random.Philox(key=key).random_raw(int(np.prod(shape)))
    total = sum(((words >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.int64) for k in range(4))
    return ((total - {CENTRE}) / {SPREAD!r}).reshape(shape)


def uniform(key, count):
    """Draw float64 values from 0 to 1: integers of 53 bits."""
    return (np.random.Philox(key=key).random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
'''


#: The lines that draw an array, without the rounding to its dtype, and the float64 values that they draw.
_Drawn = tuple[list[str], NDArray[Any]]


def drawn(case: Case, name: str, variable: str, array: NDArray[Any]) -> list[str] | None:
    """Return the lines that set ``variable`` to an array of the case; nothing if no few lines make these very bits.

    ``name`` is that of ``corpus.inputs.generate``. What the lines draw is drawn here too, and held against ``array``.
    """
    found = _constant(variable, array) or _by_kind(case, name, variable, array)
    if found is None:
        return None
    lines, values = found
    wide = values.astype(np.float32) if array.dtype.name == "bfloat16" else values
    if values.shape != array.shape or wide.astype(array.dtype).tobytes() != array.tobytes():
        return None
    return [*lines, *_rounding(variable, array.dtype.name)]


def _rounding(variable: str, dtype: str) -> list[str]:
    """Return the lines that round to the dtype; bfloat16 travels as float32."""
    if dtype == "bfloat16":
        return [
            f"bits = {variable}.astype(np.float32).view(np.uint32)",
            f"{variable} = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)  # of bfloat16",
        ]
    return [] if dtype == "float64" else [f'{variable} = {variable}.astype("{dtype}")']


def _constant(variable: str, array: NDArray[Any]) -> _Drawn | None:
    for value, word in ((0, "zeros"), (1, "ones")):
        if (array == value).all():
            return [f"{variable} = np.{word}({array.shape})"], np.full(array.shape, float(value))
    return None


def _by_kind(case: Case, name: str, variable: str, array: NDArray[Any]) -> _Drawn | None:
    kind, _, label = name.partition(":")
    if kind in ("x", "running_mean"):
        spec = case.input(label) if label else case.x
        return _spread(label or name, variable, array, spec.offset, spec.scale)
    if kind == "dy" or kind.startswith("v_"):
        key = _key(name, array, shape=(*array.shape, *(1,) * (array.ndim == 1)))
        return [f"{variable} = normal({key:#x}, {array.shape}) + 0.25"], normal(key, array.shape) + 0.25
    if name in ("gamma", "beta"):
        return _affine(name, variable, array, case.gamma if name == "gamma" else case.beta)
    if name == "running_var":
        key, scale = _key(name, array, scale=case.x.scale), case.x.scale
        line = f"{variable} = (0.5 + 1.5 * uniform({key:#x}, {array.size})) * {scale} ** 2"
        return [line], (0.5 + 1.5 * uniform(key, array.size)) * scale**2
    if name.startswith("kernel_"):
        key, limit = _key(name, array, shape=(array.size,)), math.sqrt(6 / sum(array.shape))
        line = f"{variable} = {limit!r} * (2 * uniform({key:#x}, {array.size}) - 1).reshape({array.shape})"
        return [line], limit * (2 * uniform(key, array.size) - 1).reshape(array.shape)
    return None


def _spread(label: str, variable: str, array: NDArray[Any], offset: float, scale: float) -> _Drawn:
    """Draw what has a deviation and a mean of its own in each channel, on the second axis or the only one."""
    key, channels = _key(label, array, offset=offset, scale=scale), array.shape[1 if array.ndim > 1 else 0]
    along = (-1, *(1,) * max(array.ndim - 2, 0))
    c = np.arange(channels).reshape(along)
    z = normal(key, array.shape) + (offset + ((c % 3) * 0.75 - 0.5))
    lines = [
        f"c = np.arange({channels}).reshape({along})  # each channel has a deviation and a mean of its own",
        f"z = normal({key:#x}, {array.shape}) + ({offset} + ((c % 3) * 0.75 - 0.5))",
        f"{variable} = {scale} * ((c % 5 + 2) / 4 * z)",
    ]
    return lines, scale * ((c % 5 + 2) / 4 * z)


def _affine(name: str, variable: str, array: NDArray[Any], kind: str) -> _Drawn:
    key = _key(name, array, kind=kind)
    size, line = 0.5 + 1.5 * uniform(key, array.size), f"{variable} = 0.5 + 1.5 * uniform({key:#x}, {array.size})"
    if kind == "negative":
        return [line, f"{variable} = -{variable}"], -size
    even = np.arange(array.size) % 2 == 0
    alternating = f"{variable} = np.where(np.arange({array.size}) % 2 == 0, {variable}, -{variable})"
    return [line, alternating], np.where(even, size, -size)


def _key(label: str, array: NDArray[Any], shape: tuple[int, ...] | None = None, **others: Any) -> int:
    """Return the seed of an array: that of its description, as the corpus gives it."""
    return key_of({"label": label, "dtype": array.dtype.name, "shape": shape or array.shape, **others})
