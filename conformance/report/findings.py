"""Findings: cells that are not as the reference has them, grouped by what happened and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.report.grid import Grid
from conformance.report.wording import label, size
from conformance.results.rows import SEVERITY, CellRow, Number, QuantityRow, Verdict

__all__ = ["OUTCOME", "Finding", "Party", "find"]

_TOLD = frozenset({"void", "crashed", "differs", "changed", "deviates"})
#: What a finding is about when no array came back.
OUTCOME = "outcome"


@dataclass(frozen=True)
class Party:
    """One implementation that a finding is about.

    ``cases`` are positions; ``out_of`` counts its cases in which the quantity was looked at.
    ``worst`` is the largest ratio, at case ``worst_case``.
    """

    implementation: int
    label: str
    cases: tuple[int, ...]
    out_of: int
    worst: Number | None
    worst_case: int


@dataclass(frozen=True)
class Finding:
    """What happened to one quantity for one reason, and to whom; ``key`` is stable between reports."""

    key: str
    verdict: Verdict
    quantity: str
    cause: str
    parties: tuple[Party, ...]
    explanation: str

    @property
    def rank(self) -> tuple[int, float]:
        """Return what findings are sorted by: the graver verdict first, then the larger error."""
        return SEVERITY.index(self.verdict), -max(size(party.worst) for party in self.parties)


@dataclass(frozen=True)
class _Sighting:
    case: int
    column: int
    ratio: Number | None
    explanation: str


def find(grid: Grid) -> list[Finding]:
    """Return the findings, gravest first."""
    sightings: dict[tuple[Verdict, str, str], list[_Sighting]] = {}
    looked_at: Counter[tuple[int, str]] = Counter()
    for (case, column), cell in grid.cells.items():
        looked_at.update((column, name) for name in {row.name for row in cell.quantities} | {OUTCOME})
        for key, ratio, explanation in _told(cell):
            sightings.setdefault(key, []).append(_Sighting(case, column, ratio, explanation))
    labels = [label(row) for row in grid.results.run.implementations]
    findings = [_finding(key, seen, labels, looked_at) for key, seen in sightings.items()]
    return sorted(findings, key=lambda finding: finding.rank)


def _told(cell: CellRow) -> Iterator[tuple[tuple[Verdict, str, str], Number | None, str]]:
    """Yield what a cell has to tell, once per quantity, verdict and cause."""
    told: dict[tuple[Verdict, str, str], tuple[Number | None, str]] = {}
    for row in cell.quantities:
        if row.verdict in _TOLD:
            key = (row.verdict, row.name, _cause(row))
            earlier = told.get(key)
            if earlier is None or size(row.ratio) > size(earlier[0]):
                told[key] = (row.ratio, row.explanation or row.message or cell.explanation)
    if not told and cell.verdict in _TOLD:
        told[cell.verdict, OUTCOME, _first_line(cell.explanation)] = (None, cell.explanation)
    for key, (ratio, explanation) in told.items():
        yield key, ratio, explanation


def _cause(row: QuantityRow) -> str:
    if row.raises is not None:
        return f"raises {row.raises}"
    return " · ".join(dict.fromkeys(part for part in (row.variant, row.deviation) if part))


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:160] if lines else ""


def _finding(
    key: tuple[Verdict, str, str], seen: list[_Sighting], labels: list[str], looked_at: Counter[tuple[int, str]]
) -> Finding:
    verdict, quantity, cause = key
    by_column: dict[int, list[_Sighting]] = {}
    for sighting in seen:
        by_column.setdefault(sighting.column, []).append(sighting)
    parties = []
    for column in sorted(by_column):
        worst = max(by_column[column], key=lambda one: size(one.ratio))
        cases = tuple(sorted({one.case for one in by_column[column]}))
        parties.append(Party(column, labels[column], cases, looked_at[column, quantity], worst.ratio, worst.case))
    furthest = max(seen, key=lambda one: size(one.ratio))
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:8]
    return Finding(f"{verdict}-{quantity}-{digest}", verdict, quantity, cause, tuple(parties), furthest.explanation)
