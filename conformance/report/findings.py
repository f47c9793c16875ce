"""Findings: cells that are not as the reference has them, grouped by what happened and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

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

    ``cases`` are positions; ``out_of`` counts all its cells.
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
    """What happened for one reason, and to whom; ``key`` is stable between reports.

    ``record`` names the recorded deviation, ``variant`` the variants of the oracle that explain it: of a
    deviation without a record these are the declared options. ``error`` is the error raised, or the
    first line of what a cell without quantities says. All are empty where nothing explains what differs.
    """

    key: str
    verdict: Verdict
    quantities: tuple[str, ...]
    record: str
    variant: str
    error: str
    parties: tuple[Party, ...]
    explanation: str

    @property
    def declared(self) -> bool:
        """Tell whether this is a dialect as declared."""
        return self.verdict == "deviates" and not self.record

    @property
    def worst(self) -> float:
        """Return the largest ratio, infinite where one is not a number."""
        return max(size(party.worst) for party in self.parties)

    @property
    def rank(self) -> tuple[int, bool, float]:
        """Return what findings are sorted by: graver verdicts, then records before dialects, then larger errors."""
        return SEVERITY.index(self.verdict), self.declared, -self.worst


@dataclass(frozen=True)
class _Sighting:
    case: int
    column: int
    quantity: str
    ratio: Number | None
    explanation: str


#: Verdict, record, variant, error, and the quantity where there is nothing else to group by.
_Key: TypeAlias = "tuple[Verdict, str, str, str, str]"


def find(grid: Grid) -> list[Finding]:
    """Return the findings, gravest first."""
    sightings: dict[_Key, list[_Sighting]] = {}
    cells: Counter[int] = Counter()
    for (case, column), cell in grid.cells.items():
        cells[column] += 1
        for key, quantity, ratio, explanation in _told(cell):
            sightings.setdefault(key, []).append(_Sighting(case, column, quantity, ratio, explanation))
    labels = [label(row) for row in grid.results.run.implementations]
    return sorted((_finding(key, seen, labels, cells) for key, seen in sightings.items()), key=lambda one: one.rank)


def _told(cell: CellRow) -> Iterator[tuple[_Key, str, Number | None, str]]:
    """Yield what the quantities of a cell tell, or the cell itself where it has none."""
    own = [row for row in cell.quantities if row.verdict in _TOLD]
    for row in own:
        yield _key(row), row.name, row.ratio, row.explanation or row.message or cell.explanation
    if not own and cell.verdict in _TOLD:
        yield (cell.verdict, "", "", _first_line(cell.explanation), OUTCOME), OUTCOME, None, cell.explanation


def _key(row: QuantityRow) -> _Key:
    error = f"raises {row.raises}" if row.raises is not None else ""
    record = row.deviation or ""
    variant = "" if error or (record and row.verdict == "deviates") else row.variant or ""
    alone = row.name if not (error or record or variant) and row.verdict != "deviates" else ""
    return row.verdict, record, variant, error, alone


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:160] if lines else ""


def _finding(key: _Key, seen: list[_Sighting], labels: list[str], cells: Counter[int]) -> Finding:
    verdict, record, variant, error, _ = key
    by_column: dict[int, list[_Sighting]] = {}
    for one in seen:
        by_column.setdefault(one.column, []).append(one)
    furthest = max(seen, key=lambda one: size(one.ratio))
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:12]
    return Finding(
        key=f"{verdict}-{digest}", verdict=verdict, record=record, variant=variant, error=error,
        quantities=tuple(dict.fromkeys(one.quantity for one in seen)),
        parties=tuple(_party(by_column[column], labels[column], cells[column]) for column in sorted(by_column)),
        explanation=furthest.explanation,
    )  # fmt: skip


def _party(seen: list[_Sighting], label_: str, cells: int) -> Party:
    worst = max(seen, key=lambda one: size(one.ratio))
    cases = tuple(sorted({one.case for one in seen}))
    return Party(seen[0].column, label_, cases, cells, worst.ratio, worst.case)
