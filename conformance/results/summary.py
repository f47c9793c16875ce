"""The summary: how many cells of each implementation have each verdict, denominators included."""

from __future__ import annotations

from collections import Counter

import msgspec

from conformance.results.read import Results
from conformance.results.tables import Format, markdown_table, pretty_table

__all__ = ["Summary", "SummaryRow", "render", "summarise"]

#: The order of the columns: what passes, what is not judged, what fails.
_ORDER = ("agrees", "rough", "deviates", "open", "unsupported", "differs", "changed", "crashed", "void")


class SummaryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One implementation: how many of its ``cells`` have each verdict, out of ``cases`` cases."""

    implementation: str
    provenance: str
    verdicts: dict[str, int]
    cells: int
    cases: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in numbers; no total over implementations, since they are not comparable that way."""

    suite: str
    started: str
    complete: bool
    selection: str
    rows: tuple[SummaryRow, ...]
    not_installed: dict[str, str]


def summarise(results: Results) -> Summary:
    """Count the verdicts of each implementation."""
    counts: dict[str, Counter[str]] = {row.id: Counter() for row in results.run.implementations}
    for cell in results.cells:
        counts[cell.implementation][cell.verdict] += 1
    return Summary(
        suite=results.run.suite,
        started=results.run.started,
        complete=results.complete,
        selection=results.run.selection,
        not_installed=results.run.not_installed,
        rows=tuple(
            SummaryRow(
                implementation=row.id,
                provenance=row.provenance,
                verdicts={verdict: counts[row.id][verdict] for verdict in _ORDER},
                cells=counts[row.id].total(),
                cases=len(results.run.cases),
            )
            for row in results.run.implementations
        ),
    )


def render(results: Results, form: Format = "pretty") -> str:
    """Return the summary as text that ends in a newline."""
    summary = summarise(results)
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n"
    table = markdown_table if form == "markdown" else pretty_table
    return "\n\n".join((*_notices(summary), table(*_grid(summary)), *_absent(summary))) + "\n"


def _grid(summary: Summary) -> tuple[list[str], list[list[str]]]:
    used = [verdict for verdict in _ORDER if any(row.verdicts[verdict] for row in summary.rows)]
    head = ["implementation", *used, "cells", "of cases"]
    rows = [
        [_label(row), *(str(row.verdicts[verdict]) for verdict in used), str(row.cells), str(row.cases)]
        for row in summary.rows
    ]
    return head, rows


def _label(row: SummaryRow) -> str:
    return row.implementation if row.provenance == "executed" else f"{row.implementation} ({row.provenance})"


def _notices(summary: Summary) -> list[str]:
    notices = []
    if not summary.complete:
        notices.append(
            "PARTIAL: the run did not finish, or an implementation could not be asked; what is missing was not judged."
        )
    if summary.selection:
        notices.append(f"A part of the corpus only: {summary.selection}")
    return notices


def _absent(summary: Summary) -> list[str]:
    if not summary.not_installed:
        return []
    return ["\n".join(("Not run:", *(f"  {name}: {why}" for name, why in summary.not_installed.items())))]
