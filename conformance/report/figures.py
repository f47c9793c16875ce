"""Pictures of the report as SVG: how far errors are from the bound, per implementation."""

from __future__ import annotations

import math
from collections import Counter

from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.wording import label
from conformance.results.rows import Number

__all__ = ["power", "ratio_distribution"]

LOW, HIGH = -6, 15
#: Bins per decade of the ratio.
BINS = 2
_LEFT, _WIDTH, _ROW, _TOP = 250, 700, 74, 46
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_EXACT, _ODD = LOW * BINS - 4, HIGH * BINS + 3


def ratio_distribution(grid: Grid) -> Markup:
    """Return a histogram per implementation of error over tight bound, on a common logarithmic axis."""
    histograms = _histograms(grid)
    height = _TOP + _ROW * len(histograms) + 44
    parts = [_axis(height), *(_strip(position, grid, bins) for position, bins in enumerate(histograms))]
    title = element("title", "Error over bound, by implementation")
    return element(
        "svg", title, parts, viewBox=f"0 0 {_LEFT + _WIDTH + 40} {height}", role="img", class_="distribution",
        width=_LEFT + _WIDTH + 40, height=height,
    )  # fmt: skip


def _histograms(grid: Grid) -> list[Counter[int]]:
    columns = {row.id: position for position, row in enumerate(grid.results.run.implementations)}
    histograms: list[Counter[int]] = [Counter() for _ in columns]
    for cell in grid.results.cells:
        histograms[columns[cell.implementation]].update(
            _bin(row.ratio) for row in cell.quantities if row.ratio is not None
        )
    return histograms


def _bin(value: Number) -> int:
    """Return the bin of a ratio: exact on the left, not finite on the right of the axis."""
    if isinstance(value, str):
        return _ODD
    if value <= 0:
        return _EXACT
    return min(max(math.floor(math.log10(value) * BINS), LOW * BINS), HIGH * BINS - 1)


def _x(bin_: float) -> float:
    return _LEFT + (bin_ - _EXACT) / (_ODD + 1 - _EXACT) * _WIDTH


def _axis(height: int) -> Markup:
    bottom = height - 44
    ticks = [(decade, power(decade)) for decade in range(LOW, HIGH + 1, 3)]
    marks = [
        join((element("line", x1=_f(_x(d * BINS)), x2=_f(_x(d * BINS)), y1=_TOP - 8, y2=bottom,
                      class_="bound" if d == 0 else "tick"),
              element("text", text, x=_f(_x(d * BINS)), y=bottom + 20, class_="axis")))
        for d, text in ticks
    ]  # fmt: skip
    words = [
        element("text", "exact", x=_f(_x(_EXACT + 0.5)), y=bottom + 20, class_="axis"),
        element("text", "∞, nan", x=_f(_x(_ODD + 0.5)), y=bottom + 20, class_="axis"),
        element(
            "text", "error / tight bound (no unit, logarithmic)", x=_LEFT + _WIDTH / 2, y=bottom + 40, class_="axis"
        ),
        element("text", "inside the bound", x=_f(_x(0) - 10), y=_TOP - 18, class_="side left"),
        element("text", "outside", x=_f(_x(0) + 10), y=_TOP - 18, class_="side right"),
    ]
    return join((*marks, *words))


def _strip(position: int, grid: Grid, bins: Counter[int]) -> Markup:
    row = grid.results.run.implementations[position]
    base = _TOP + _ROW * (position + 1) - 14
    tallest = max(bins.values(), default=1)
    outside = sum(number for bin_, number in bins.items() if bin_ >= 0)
    bars = [_bar(bin_, number, base, math.sqrt(number / tallest)) for bin_, number in sorted(bins.items())]
    return element(
        "g",
        element("text", label(row), x=_LEFT - 14, y=base - 22, class_="who"),
        element("text", _tally(bins.total(), outside, row.provenance), x=_LEFT - 14, y=base - 3, class_="tally"),
        element("line", x1=_LEFT, x2=_LEFT + _WIDTH, y1=base, y2=base, class_="base"),
        bars,
        class_=row.provenance,
    )


def _tally(total: int, outside: int, provenance: str) -> str:
    note = "" if provenance == "executed" else f"{provenance}, "
    return f"{note}{outside:,} of {total:,} outside"


def _bar(bin_: int, number: int, base: int, share: float) -> Markup:
    tall = max(2.0, share * (_ROW - 30))
    width = _x(1) - _x(0)
    low, high = power(bin_ / BINS), power((bin_ + 1) / BINS)
    where = {_EXACT: "no error", _ODD: "not finite"}.get(bin_, f"{low} to {high} of the bound")
    told = element("title", f"{number:,} of the quantities: {where}")
    return element(
        "rect", told, x=_f(_x(bin_) + 0.5), y=_f(base - tall), width=_f(width - 1), height=_f(tall),
        class_="out" if bin_ >= 0 else "in",
    )  # fmt: skip


def power(exponent: float) -> str:
    """Return a power of ten as an axis shows it: ``10⁻³``, ``1``; between whole ones as a number."""
    if not float(exponent).is_integer():
        return f"{10**exponent:.2g}"
    return "1" if exponent == 0 else "10" + str(int(exponent)).translate(_RAISED)


def _f(value: float) -> str:
    return f"{value:.1f}"
