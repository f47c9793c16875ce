"""Results as a grid: cases down, implementations across."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from conformance.report.wording import size
from conformance.results.read import Results
from conformance.results.rows import FAILING, CellRow, Number, QuantityRow

__all__ = ["CANARY", "Grid", "telling", "worst_ratio"]

#: The column in which the suite asks its own oracle.
CANARY = "numpy"


@dataclass(frozen=True)
class Grid:
    """Cells by position; what a run did not reach is absent."""

    results: Results

    @cached_property
    def cells(self) -> dict[tuple[int, int], CellRow]:
        """Return the cells by the positions of their case and implementation."""
        rows = {case.id: position for position, case in enumerate(self.results.run.cases)}
        columns = {row.id: position for position, row in enumerate(self.results.run.implementations)}
        return {(rows[cell.case], columns[cell.implementation]): cell for cell in self.results.cells}

    @property
    def shape(self) -> tuple[int, int]:
        """Return how many cases and implementations there are."""
        return len(self.results.run.cases), len(self.results.run.implementations)

    @property
    def canary_failed(self) -> bool:
        """Tell whether the suite's own column fails: then nothing else can be trusted."""
        columns = self.results.run.implementations
        names = {row.id for row in columns if row.name == CANARY and row.provenance == "executed"}
        return any(cell.implementation in names and cell.verdict in FAILING for cell in self.results.cells)


def telling(cell: CellRow) -> QuantityRow | None:
    """Return the quantity that gave the cell its verdict, the one furthest off among several."""
    own = [row for row in cell.quantities if row.verdict == cell.verdict]
    return max(own, key=lambda row: size(row.ratio), default=None)


def worst_ratio(cell: CellRow) -> Number | None:
    """Return the ratio that a cell of the matrix shows."""
    row = telling(cell)
    return row.ratio if row else None
