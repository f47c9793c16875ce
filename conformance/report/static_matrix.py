"""The matrix as a plain table of words, for readers without scripts."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.report.grid import Grid, telling, worst_ratio
from conformance.report.markup import Markup, element, join
from conformance.report.wording import VERDICTS, label, ratio
from conformance.results.rows import FAILING

__all__ = ["static_matrix"]

#: Above so many cells only the cases on which not all agree are listed.
CELL_LIMIT = 40_000
#: At most so many failing cells are told in full.
DETAIL_LIMIT = 1_000
_GLYPHS = {words.name: words.glyph for words in VERDICTS}


def static_matrix(grid: Grid) -> Markup:
    """Return cases by implementation, a verdict word in each cell, and what failing cells tell."""
    rows = range(grid.shape[0])
    agreeing = {row for row in rows if _all_agree(grid, row)}
    fold = grid.shape[0] * grid.shape[1] > CELL_LIMIT
    shown = [row for row in rows if not fold or row not in agreeing]
    note = f"{len(agreeing):,} of {grid.shape[0]:,} cases, on which all agree, are left out." if fold else ""
    head = element("tr", element("th", "Case", scope="col"),
                   (element("th", label(row), " (", row.provenance, ")", scope="col")
                    for row in grid.results.run.implementations))  # fmt: skip
    body = (_line(grid, row) for row in shown)
    table = element("table", element("thead", head), element("tbody", body), class_="plain words")
    return join((element("p", note) if note else "", element("div", table, class_="scroll"), _details(grid)))


def _all_agree(grid: Grid, row: int) -> bool:
    cells = (grid.cells.get((row, column)) for column in range(grid.shape[1]))
    return all(cell is not None and cell.verdict == "agrees" for cell in cells)


def _line(grid: Grid, row: int) -> Markup:
    case = grid.results.run.cases[row]
    return element(
        "tr",
        element("th", case.id, scope="row", title=case.fact),
        (_word(grid, row, column) for column in range(grid.shape[1])),
    )


def _word(grid: Grid, row: int, column: int) -> Markup:
    cell = grid.cells.get((row, column))
    if cell is None:
        return element("td", "not run", class_="nil")
    return element("td", _GLYPHS[cell.verdict], " ", cell.verdict, " ", ratio(worst_ratio(cell)), class_=cell.verdict)


def _details(grid: Grid) -> Markup:
    failing = [(position, cell) for position, cell in grid.cells.items() if cell.verdict in FAILING]
    if not failing:
        return Markup("")
    more = len(failing) - DETAIL_LIMIT
    note = element("p", f"{more:,} more are in the results file.") if more > 0 else ""
    items = (element("li", _detail(grid, *position)) for position, _ in failing[:DETAIL_LIMIT])
    return join((element("h3", "Cells that fail"), element("ul", items), note))


def _detail(grid: Grid, row: int, column: int) -> Markup:
    cell = grid.cells[row, column]
    who = label(grid.results.run.implementations[column])
    head = element("strong", f"{cell.verdict}: {cell.case} on {who}")
    return join((head, (join((element("br"), line)) for line in _told(grid, row, column))))


def _told(grid: Grid, row: int, column: int) -> Iterator[str]:
    cell = grid.cells[row, column]
    quantity = telling(cell)
    if cell.explanation:
        yield cell.explanation
    if quantity is not None:
        off = f": {ratio(quantity.ratio)} times the bound" if quantity.ratio is not None else ""
        yield f"step {quantity.step}, {quantity.name}{off}"
