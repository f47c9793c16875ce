"""The dialect table: what each implementation chose where the definition leaves a choice."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.report.wording import version
from conformance.results.rows import ImplementationRow

__all__ = ["SILENT", "UNSTATED", "ChoiceRow", "DialectColumn", "DialectTable", "tabulate"]

UNSTATED = "not stated"
#: What is no option: nothing is claimed.
SILENT = frozenset({UNSTATED, "undeclared"})


@dataclass(frozen=True)
class DialectColumn:
    """Implementations that share name, mode and dialect: versions that chose alike are one column."""

    name: str
    versions: tuple[str, ...]
    mode: str
    provenance: str


@dataclass(frozen=True)
class ChoiceRow:
    """One choice: the option of each column, and the number of the group that made it, -1 for none."""

    choice: str
    options: tuple[str, ...]
    groups: tuple[int, ...]

    @property
    def unanimous(self) -> bool:
        """Tell whether all columns that state an option chose alike."""
        return len(set(self.options) - SILENT) <= 1


@dataclass(frozen=True)
class DialectTable:
    """Choices down, columns across; choices on which they part come first."""

    columns: tuple[DialectColumn, ...]
    rows: tuple[ChoiceRow, ...]


def tabulate(implementations: tuple[ImplementationRow, ...]) -> DialectTable:
    """Return the table of the implementations that state a dialect."""
    folded: dict[tuple[object, ...], list[ImplementationRow]] = {}
    for row in implementations:
        if row.dialect:
            key = (row.name, row.execution, row.device, row.provenance, tuple(sorted(row.dialect.items())))
            folded.setdefault(key, []).append(row)
    families = list(folded.values())
    names = dict.fromkeys(name for family in families for name in family[0].dialect)
    rows = [_row(name, [family[0].dialect.get(name, UNSTATED) for family in families]) for name in names]
    return DialectTable(
        columns=tuple(_column(family) for family in families),
        rows=tuple(sorted(rows, key=lambda row: row.unanimous)),
    )


def _row(choice: str, options: list[str]) -> ChoiceRow:
    order = list(dict.fromkeys(option for option in options if option not in SILENT))
    groups = tuple(-1 if option in SILENT else order.index(option) for option in options)
    return ChoiceRow(choice, tuple(options), groups)


def _column(family: list[ImplementationRow]) -> DialectColumn:
    first = family[0]
    mode = ", ".join(part for part, usual in ((first.execution, "eager"), (first.device, "cpu")) if part != usual)
    return DialectColumn(first.name, tuple(version(row) for row in family), mode, first.provenance)
