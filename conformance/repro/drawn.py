"""Large arrays as the few lines of NumPy that draw them: the same bits, where a literal would be megabytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.corpus.case import Case
from conformance.corpus.inputs import CENTRE, SPREAD, key_of

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


def drawn(case: Case, name: str, variable: str, array: NDArray[Any]) -> list[str] | None:
    """Return the lines that set ``variable`` to an array of the case; nothing if no few lines make these very bits.

    ``name`` is that of ``corpus.inputs.generate``. The lines are run, and what they make is held against ``array``.
    """
    lines = list(_lines(case, name, variable, array))
    made: dict[str, Any] = {"np": np}
    exec("\n".join([HELPERS, *lines]), made)  # noqa: S102  our own text
    wide = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    found = made.get(variable)
    if found is None or (found.dtype, found.shape) != (wide.dtype, wide.shape):
        return None
    return lines if found.tobytes() == wide.tobytes() else None


def _lines(case: Case, name: str, variable: str, array: NDArray[Any]) -> Iterator[str]:
    constant = {float(value): word for value, word in ((0, "zeros"), (1, "ones")) if (array == value).all()}
    dtype = "float32" if array.dtype.name == "bfloat16" else array.dtype.name
    if constant:
        yield f'{variable} = np.{next(iter(constant.values()))}({array.shape}, "{dtype}")'
        return
    kind, _, label = name.partition(":")
    if kind == "x":
        spec, along = case.input(label), ", ".join(["-1", *["1"] * (array.ndim - 2)])
        key = _key(label, array, offset=spec.offset, scale=spec.scale)
        yield f"c = np.arange({array.shape[1]}).reshape({along})  # each channel has a deviation and a mean of its own"
        yield f"z = normal({key:#x}, {array.shape}) + ({spec.offset} + ((c % 3) * 0.75 - 0.5))"
        yield f"{variable} = {spec.scale} * ((c % 5 + 2) / 4 * z)"
    elif kind == "dy" or kind.startswith("v_"):
        key = _key(name, array, shape=(*array.shape, *(1,) * (array.ndim == 1)))
        yield f"{variable} = normal({key:#x}, {array.shape}) + 0.25"
    else:
        yield from _parameter(case, name, variable, array)
    if array.dtype.name == "bfloat16":
        yield f"bits = {variable}.astype(np.float32).view(np.uint32)"
        yield f"{variable} = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)  # of bfloat16"
    elif array.dtype != np.float64:
        yield f'{variable} = {variable}.astype("{dtype}")'


def _parameter(case: Case, name: str, variable: str, array: NDArray[Any]) -> Iterator[str]:
    channels, scale, offset = array.size, case.x.scale, case.x.offset
    if name in ("gamma", "beta"):
        given = case.gamma if name == "gamma" else case.beta
        yield f"{variable} = 0.5 + 1.5 * uniform({_key(name, array, kind=given):#x}, {channels})"
        if given == "negative":
            yield f"{variable} = -{variable}"
        else:
            yield f"{variable} = np.where(np.arange({channels}) % 2 == 0, {variable}, -{variable})"
    elif name == "running_mean":
        key = _key(name, array, offset=offset, scale=scale)
        yield f"c = np.arange({channels})"
        yield f"z = normal({key:#x}, ({channels},)) + ({offset} + ((c % 3) * 0.75 - 0.5))"
        yield f"{variable} = {scale} * ((c % 5 + 2) / 4 * z)"
    elif name == "running_var":
        yield f"{variable} = (0.5 + 1.5 * uniform({_key(name, array, scale=scale):#x}, {channels})) * {scale} ** 2"
    elif name.startswith("kernel_"):
        key, limit = _key(name, array, shape=(array.size,)), math.sqrt(6 / sum(array.shape))
        yield f"{variable} = {limit!r} * (2 * uniform({key:#x}, {array.size}) - 1).reshape({array.shape})"


def _key(label: str, array: NDArray[Any], shape: tuple[int, ...] | None = None, **others: Any) -> int:
    """Return the seed of an array: that of its description, as the corpus gives it."""
    return key_of({"label": label, "dtype": array.dtype.name, "shape": shape or array.shape, **others})
