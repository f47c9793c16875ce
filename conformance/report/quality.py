"""Numerical quality: how the ratio to the bound grows with the mean of the input against its deviation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.report.grid import Grid
from conformance.report.wording import label
from conformance.results.rows import CaseRow, CellRow, Number, QuantityRow

__all__ = ["Panel", "Series", "panels"]


@dataclass(frozen=True)
class Series:
    """One implementation: ``points`` are mean over deviation, and the largest ratio of any quantity.

    The ratio of what deviates as declared is that to the declaration.
    """

    name: str
    implementation: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """One question put with several means, everything else being equal."""

    title: str
    series: tuple[Series, ...]


def panels(grid: Grid) -> list[Panel]:
    """Return a panel for each question that was put with at least two means, in the order of the corpus."""
    questions: dict[str, list[tuple[float, int]]] = {}
    for position, case in enumerate(grid.results.run.cases):
        offset = _mean_over_deviation(case)
        if offset is not None and "x.offset=" in case.id:
            questions.setdefault(_without_offset(case.id), []).append((offset, position))
    found = (
        Panel(title, tuple(_series(grid, sorted(asked))))
        for title, asked in questions.items() if len({offset for offset, _ in asked}) > 1
    )  # fmt: skip
    return [panel for panel in found if panel.series]


def _mean_over_deviation(case: CaseRow) -> float | None:
    """Return the offset over the scale of the input ``x``, where the case states a positive one."""
    x = case.source.get("x")
    if not isinstance(x, dict):
        return None
    try:
        value = float(x.get("offset", 0)) / float(x.get("scale", 1))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return value if 0 < value < math.inf else None


def _without_offset(identifier: str) -> str:
    path, bracket, inside = identifier.partition("[")
    kept = [part for part in inside.rstrip("]").split(",") if part and not part.startswith("x.offset=")]
    return f"{path}{bracket}{', '.join(kept)}]" if kept else path


def _series(grid: Grid, asked: list[tuple[float, int]]) -> Iterator[Series]:
    for column, row in enumerate(grid.results.run.implementations):
        points = [
            (offset, ratio) for offset, case in asked
            if (cell := grid.cells.get((case, column))) and (ratio := _largest(cell)) is not None
        ]  # fmt: skip
        if points:
            yield Series(label(row), column, tuple(points))


def _largest(cell: CellRow) -> float | None:
    ratios = [ratio for row in cell.quantities if (ratio := _own(row)) is not None]
    if not ratios:
        return None
    return max(math.inf if isinstance(ratio, str) else ratio for ratio in ratios)


def _own(row: QuantityRow) -> Number | None:
    """Return the ratio to what the implementation itself declares: a dialect is no loss of digits."""
    declared = row.verdict == "deviates" and row.deviation is None
    return row.declared_ratio if declared else row.ratio
