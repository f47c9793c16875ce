"""Arrays as text that gives the same bits when it is read again."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["INLINE", "laid_out", "literal", "number_of", "numbers"]

#: Arrays of more elements are not written out.
INLINE = 2000
_WIDTH = 110


def literal(array: NDArray[Any]) -> str:
    """Return an expression, of several lines if need be, that makes the array bit for bit.

    ``array`` is of any shape and of float16, float32, float64 or bool; bfloat16 is written as float32, which holds
    each of its numbers.
    """
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    dtype = "bool" if array.dtype == bool else array.dtype.name
    if array.size == 0:
        return f'np.zeros({array.shape}, "{dtype}")'
    return _array([_exact(value) for value in array.reshape(-1)], f', "{dtype}")', array.shape)


def numbers(array: NDArray[Any]) -> str:
    """Return the predicted values as an array of float64."""
    return _array([number_of(value) for value in array.reshape(-1)], ")", array.shape)


def number_of(value: np.floating[Any]) -> str:
    """Return a predicted value: to 12 digits, or all that float64 has where it was computed in more."""
    return _number(float(f"{value:.{17 if value.dtype.itemsize > 8 else 12}g}"))


def laid_out(name: str, array: NDArray[Any], memory: str) -> Iterator[str]:
    """Yield the lines that give an input another memory layout, as ``corpus.inputs.laid_out`` does."""
    if memory == "strided":
        rows, *middle, last = array.shape
        shape = (2 * rows + 1, *middle, 2 * last + 1)
        yield f'larger = np.full({shape}, np.nan, "{_dtype(array)}")  # of which it is every other element'
        yield f"larger[1::2, ..., 1::2] = {name}"
        yield f"{name} = larger[1::2, ..., 1::2]"
    elif memory == "reversed":
        slices = ", ".join(["::-1"] * array.ndim)
        yield f"{name} = np.ascontiguousarray({name}[{slices}])[{slices}]  # in memory from the last to the first"
    elif memory == "channels_last":
        yield f"{name} = np.moveaxis(np.ascontiguousarray(np.moveaxis({name}, 1, -1)), -1, 1)  # in memory as NHWC"


def _dtype(array: NDArray[Any]) -> str:
    """Return the name of the dtype that a script has for an array: bfloat16 is written as float32."""
    return "float32" if array.dtype.name == "bfloat16" else array.dtype.name


def _exact(value: Any) -> str:
    if isinstance(value, np.bool_):
        return str(int(value))
    if not np.isfinite(value):
        return _number(float(value))
    short = str(value)
    # The shortest text of a float32 is read as a float64 first: where that rounds twice, all digits are given.
    return _number(float(short) if type(value)(float(short)) == value else float(value))


def _number(value: float) -> str:
    return {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}.get(repr(value), repr(value))


def _array(values: list[str], end: str, shape: tuple[int, ...]) -> str:
    """Return ``np.array([...], ...)`` in its shape, on one line if it fits there."""
    after = end + ("" if len(shape) == 1 else f".reshape({', '.join(map(str, shape))})")
    text = ", ".join(values)
    if len(text) + len(after) < _WIDTH - 30:
        return f"np.array([{text}]{after}"
    lines = textwrap.wrap(text, _WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return "np.array([\n    " + "\n    ".join(lines) + f",\n]{after}"
