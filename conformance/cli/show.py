"""``conformance show``: the cells of a results file as text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from conformance.corpus.select import matches
from conformance.errors import UsageError
from conformance.results.read import Results, read_results
from conformance.results.rows import SEVERITY, CellRow, Number, QuantityRow

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Show cells of a results file, quantity by quantity."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a results.jsonl, or the folder that holds it")
    parser.add_argument("--case", metavar="PATTERN", help="only these cases; `*` stands for a whole segment")
    parser.add_argument(
        "--verdict", choices=SEVERITY, action="append", metavar="VERDICT", help=f"only these: {', '.join(SEVERITY)}"
    )
    parser.add_argument("--implementation", metavar="NAME", help="only this one, by name or by id")


def execute(arguments: argparse.Namespace) -> int:
    """Print the cells that fit.

    Raises:
        UsageError: none does.
    """
    results = read_results(arguments.results)
    cells = [cell for cell in results.cells if _wanted(cell, arguments)]
    if not cells:
        name, columns = arguments.implementation, results.run.implementations
        if name is not None and not any(name in (column.id, column.name) for column in columns):
            known = ", ".join(column.id for column in columns)
            raise UsageError(f"{arguments.results}: no column is named {name!r}", hint=f"columns are {known}")
        raise UsageError(
            f"{arguments.results}: no cell of {len(results.cells)} fits{results.lacking}",
            hint="widen --case, --verdict or --implementation; `conformance summary` counts what there is",
        )
    facts = {case.id: case.fact for case in results.run.cases}
    for cell in cells:
        sys.stdout.write("\n".join(_lines(cell, facts.get(cell.case, ""))) + "\n\n")
    sys.stdout.write(_footer(len(cells), results))
    return 0


def _wanted(cell: CellRow, arguments: argparse.Namespace) -> bool:
    name = arguments.implementation
    return (
        (arguments.case is None or matches(arguments.case, cell.case))
        and (not arguments.verdict or cell.verdict in arguments.verdict)
        and (name is None or name in (cell.implementation, cell.implementation.partition("@")[0]))
    )


def _lines(cell: CellRow, fact: str) -> Iterator[str]:
    yield f"{cell.verdict}  {cell.case}  {cell.implementation}"
    yield f"  {fact}"
    if cell.explanation:
        yield f"  {cell.explanation}"
    for row in cell.quantities:
        yield f"  step {row.step} {row.name}: {', '.join(_facts(row))}"
        for label in ("expected", "observed", "declared"):
            values = getattr(row, label)
            if values is not None and row.verdict != "agrees":
                yield f"    {label:8}  {' '.join(_text(value) for value in values)}"
        if row.explanation or row.message:
            yield f"    {row.explanation or row.message}"


def _facts(row: QuantityRow) -> Iterator[str]:
    yield row.verdict
    if row.ratio is not None:
        yield f"error {_text(row.ratio)} times the bound {_text(row.bound)}"
    if row.worst_index is not None:
        yield f"worst at {list(row.worst_index)}"
    for label in ("variant", "deviation", "open", "raises"):
        if getattr(row, label) is not None:
            yield f"{label} {getattr(row, label)}"


def _text(value: Number | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _footer(shown: int, results: Results) -> str:
    return f"{shown} of {len(results.cells)} cells{results.lacking}\n"
