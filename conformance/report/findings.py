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

    ``cause`` names the variant, the record or the error; it is empty where nothing explains what
    differs, and where a deviation is that of the declared dialect.
    """

    key: str
    verdict: Verdict
    quantities: tuple[str, ...]
    cause: str
    parties: tuple[Party, ...]
    explanation: str

    @property
    def rank(self) -> tuple[int, bool, float]:
        """Return what findings are sorted by: graver verdicts, then records before dialects, then larger errors."""
        declared = self.verdict == "deviates" and not self.cause
        return SEVERITY.index(self.verdict), declared, -max(size(party.worst) for party in self.parties)


@dataclass(frozen=True)
class _Sighting:
    case: int
    column: int
    quantity: str
    ratio: Number | None
    explanation: str


#: Verdict, cause, and the quantity where there is no cause to group by.
_Key: TypeAlias = "tuple[Verdict, str, str]"


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
        cause = _cause(row)
        alone = row.name if not cause and row.verdict != "deviates" else ""
        yield (row.verdict, cause, alone), row.name, row.ratio, row.explanation or row.message or cell.explanation
    if not own and cell.verdict in _TOLD:
        yield (cell.verdict, _first_line(cell.explanation), OUTCOME), OUTCOME, None, cell.explanation


def _cause(row: QuantityRow) -> str:
    if row.raises is not None:
        return f"raises {row.raises}"
    return " · ".join(dict.fromkeys(part for part in (row.variant, row.deviation) if part))


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:160] if lines else ""


def _finding(key: _Key, seen: list[_Sighting], labels: list[str], cells: Counter[int]) -> Finding:
    verdict, cause, _ = key
    columns = sorted({one.column for one in seen})
    furthest = max(seen, key=lambda one: size(one.ratio))
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:12]
    return Finding(
        key=f"{verdict}-{digest}",
        verdict=verdict,
        quantities=tuple(dict.fromkeys(one.quantity for one in seen)),
        cause=cause,
        parties=tuple(
            _party([one for one in seen if one.column == column], labels[column], cells[column]) for column in columns
        ),
        explanation=furthest.explanation,
    )


def _party(seen: list[_Sighting], label_: str, cells: int) -> Party:
    worst = max(seen, key=lambda one: size(one.ratio))
    cases = tuple(sorted({one.case for one in seen}))
    return Party(seen[0].column, label_, cases, cells, worst.ratio, worst.case)
