"""Rows of judged quantities, their arrays cut to what a reader wants to see."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from conformance.definition.prediction import Key
from conformance.host.observation import Raised
from conformance.results.rows import Number, QuantityRow, Verdict
from conformance.verdict.compare import Comparison, dtype_name

__all__ = ["array_row", "open_row", "outcome_row"]

Array = NDArray[Any]

#: Arrays of up to this many elements are kept whole in a results file, and series, which are drawn.
_WHOLE = 8
_SERIES = frozenset({"mse"})
#: Ratios by channel and by sample are kept of up to so many.
_FEW = 16


def array_row(
    key: Key, clause: str, verdict: Verdict, reference: Comparison, declared: Comparison | None, *,
    discriminates: bool | None, explanation: str | None = None, deviation: str | None = None,
    variant: str | None = None,
) -> QuantityRow:  # fmt: skip
    """Make the row of an array that was compared with the reference, and with the declared dialect."""
    at, seen, expected = reference.furthest, reference.observed, reference.expected
    apart = verdict != "agrees"
    window = (0, seen.size) if key[1] in _SERIES else _window(seen.size, at)
    return QuantityRow(
        step=key[0], name=key[1], clause=clause, verdict=verdict, dtype=expected.dtype, shape=seen.shape,
        ratio=_number(reference.ratio.item(at), digits=4), bound=_number(expected.tight.item(at), digits=4),
        plain_bound=_number(expected.plain.item(at), digits=4),
        error=_number(reference.error.item(at), digits=4),
        max_abs_error=_number(_largest_of(reference.error), digits=4), worst_index=reference.worst, window=window,
        expected=_cut(expected.value, window), observed=_cut(seen, window),
        declared=None if declared is None else _cut(declared.expected.value, window),
        declared_ratio=None if declared is None else _number(_largest_of(declared.ratio), digits=4),
        discriminates=discriminates, explanation=explanation, deviation=deviation, variant=variant,
        channels=_largest(reference.ratio, 1) if apart else None,
        samples=_largest(reference.ratio, 0) if apart else None,
    )  # fmt: skip


def outcome_row(
    key: Key, clause: str, verdict: Verdict, raised: Raised | None, explanation: str, observed: Array | None = None
) -> QuantityRow:
    """Make the row of an error raised, or of an answer that could not be compared."""
    shape: tuple[int, ...] = () if observed is None else observed.shape
    return QuantityRow(
        step=key[0], name=key[1], clause=clause, verdict=verdict, explanation=explanation,
        dtype="" if observed is None else dtype_name(observed.dtype), shape=shape,
        raises=None if raised is None else raised.type, message=None if raised is None else raised.message[:2000],
    )  # fmt: skip


def open_row(key: Key, clause: str, group: str) -> QuantityRow:
    """Make the row of an observation that nothing is predicted for."""
    return QuantityRow(step=key[0], name=key[1], clause=clause, verdict="open", open=group)


def _largest(ratio: Array, axis: int) -> tuple[Number, ...] | None:
    """Return the largest ratio at each position of an axis of an ``(N, C, *spatial)`` array, if they are few."""
    if ratio.ndim < 2 or not 1 < ratio.shape[axis] <= _FEW:
        return None
    others = tuple(other for other in range(ratio.ndim) if other != axis)
    return tuple(_number(value, digits=3) for value in ratio.max(axis=others, initial=0.0))


def _largest_of(values: Array) -> float:
    # A small array's ``max`` takes six times as long as the place of it.
    return float(values.item(int(values.argmax()))) if values.size else 0.0


def _window(size: int, centre: int) -> tuple[int, int]:
    if size <= _WHOLE:
        return 0, size
    start = min(max(centre - _WHOLE // 2, 0), size - _WHOLE)
    return start, start + _WHOLE


def _cut(values: Array, window: tuple[int, int]) -> tuple[Number, ...]:
    # 17 digits identify a float64, 9 a float32.
    digits = 9 if values.dtype.itemsize <= 4 else 17
    few = [float(value) for value in values.reshape(-1)[slice(*window)].tolist()]
    if not math.isfinite(sum(few)):
        return tuple([_number(value, digits) for value in few])
    return tuple(few if digits == 17 else [float(f"{value:.9g}") for value in few])


def _number(value: Any, digits: int) -> Number:
    """Return a number rounded to so many decimal digits, which changes no float64 if they are 17."""
    number = float(value)
    if math.isfinite(number):
        return float(f"{number:.{digits}g}")
    return "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
