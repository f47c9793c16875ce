"""How much implementations behave alike, quantity by quantity, and an order that puts the like side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.report.grid import Grid
from conformance.results.rows import QuantityRow

__all__ = ["Agreement", "agreement", "cluster"]

#: What is alike with nothing, not even with itself elsewhere; what was not asked or not answered.
_ALONE, _ABSENT = -1, -2


@dataclass(frozen=True)
class Agreement:
    """For each pair of columns, ``(n, n)``: on how many quantities both answered, and on how many alike."""

    shared: NDArray[np.int64]
    alike: NDArray[np.int64]

    @property
    def share(self) -> NDArray[np.float64]:
        """Return the share that is alike, NaN for columns that share nothing."""
        with np.errstate(invalid="ignore"):
            return np.where(self.shared > 0, self.alike / np.maximum(self.shared, 1), np.nan)


def agreement(grid: Grid) -> Agreement:
    """Compare what the implementations did with each quantity of each case.

    Two do alike where both are inside a bound of the reference, where what both did is told by the same
    variants of the oracle, where both raise an error of the same type, or where both are in the same
    group of an open case. What differs unexplained is alike with nothing.
    """
    columns = grid.shape[1]
    table = _behaviours(grid)
    shared = np.zeros((columns, columns), np.int64)
    alike = np.zeros((columns, columns), np.int64)
    answered = table != _ABSENT
    for at in range(columns):
        both = answered & answered[:, at : at + 1]
        shared[at] = both.sum(axis=0)
        alike[at] = (both & (table == table[:, at : at + 1]) & (table != _ALONE)).sum(axis=0)
    return Agreement(shared, alike)


def _behaviours(grid: Grid) -> NDArray[np.int32]:
    """Return a number for what each column did, a row for each quantity of each case."""
    numbers: dict[str, int] = {}
    lines: dict[tuple[int, int, str], NDArray[np.int32]] = {}
    dialects = [row.dialect for row in grid.results.run.implementations]
    for (case, column), cell in grid.cells.items():
        for row in cell.quantities:
            told = _behaviour(row, grid)
            if told == "" and row.verdict == "deviates":
                told = f"declared {sorted(dialects[column].items())}"  # a file of a suite that named no choice
            if told is None:
                continue
            line = lines.get((case, row.step, row.name))
            if line is None:
                line = lines[case, row.step, row.name] = np.full(grid.shape[1], _ABSENT, np.int32)
            line[column] = numbers.setdefault(told, len(numbers)) if told else _ALONE
    return np.array(list(lines.values()), np.int32).reshape(len(lines), grid.shape[1])


def _behaviour(row: QuantityRow, grid: Grid) -> str | None:
    """Return what names the behaviour; empty where nothing does, ``None`` where there is none to name."""
    if row.verdict in ("agrees", "rough"):
        return "reference"
    if row.verdict in ("unsupported", "void", "crashed"):
        return None
    if row.raises is not None:
        return f"raises {row.raises}"
    if row.verdict == "open":
        return f"open {row.open}" if row.open else None
    if row.verdict == "deviates" and row.deviation:
        records = (grid.results.run.deviations.get(name) for name in row.deviation.split(" + "))
        variants = sorted({variant for record in records if record is not None for variant in record.variants})
        return f"variant {' + '.join(variants)}" if variants else f"record {row.deviation}"
    return f"variant {row.variant}" if row.variant else ""


def cluster(share: NDArray[np.float64]) -> list[int]:
    """Return the order of a clustering by average linkage: the two groups that are most alike are joined first."""
    likeness = np.nan_to_num(share, nan=0.0)
    groups = [[at] for at in range(len(likeness))]
    while len(groups) > 1:
        pairs = [(one, other) for one in range(len(groups)) for other in range(one + 1, len(groups))]
        one, other = max(pairs, key=lambda pair: likeness[np.ix_(groups[pair[0]], groups[pair[1]])].mean())
        groups[one] = _facing(groups[one], groups.pop(other), likeness)
    return groups[0] if groups else []


def _facing(one: list[int], other: list[int], likeness: NDArray[np.float64]) -> list[int]:
    """Return the groups joined, turned so that the likest ends meet."""
    turned = [(a, b) for a in (one, one[::-1]) for b in (other, other[::-1])]
    first, second = max(turned, key=lambda pair: likeness[pair[0][-1], pair[1][0]])
    return first + second
