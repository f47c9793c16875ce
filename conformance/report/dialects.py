"""The dialect table: what each implementation chose where the definition leaves a choice."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.report.history import families
from conformance.report.wording import version
from conformance.results.rows import ImplementationRow

__all__ = ["SILENT", "UNSTATED", "ChoiceLine", "DialectColumn", "DialectTable", "tabulate"]

UNSTATED = "not stated"
#: What is no option: nothing is claimed.
SILENT = frozenset({UNSTATED, "undeclared"})


@dataclass(frozen=True)
class DialectColumn:
    """Implementations that share name and dialect: versions and modes that chose alike are one column."""

    name: str
    versions: tuple[str, ...]
    mode: str
    provenance: str


@dataclass(frozen=True)
class ChoiceLine:
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
    rows: tuple[ChoiceLine, ...]


def tabulate(implementations: tuple[ImplementationRow, ...]) -> DialectTable:
    """Return the table of the implementations that state a dialect."""
    folded: dict[tuple[object, ...], list[ImplementationRow]] = {}
    for family in families(implementations):
        for row in (implementations[at] for at in family):
            if row.dialect:
                key = (row.name, row.provenance, tuple(sorted(row.dialect.items())))
                folded.setdefault(key, []).append(row)
    groups = list(folded.values())
    names = dict.fromkeys(name for group in groups for name in group[0].dialect)
    rows = [_row(name, [group[0].dialect.get(name, UNSTATED) for group in groups]) for name in names]
    return DialectTable(
        columns=tuple(_column(group) for group in groups),
        rows=tuple(sorted(rows, key=lambda row: row.unanimous)),
    )


def _row(choice: str, options: list[str]) -> ChoiceLine:
    order = list(dict.fromkeys(option for option in options if option not in SILENT))
    groups = tuple(-1 if option in SILENT else order.index(option) for option in options)
    return ChoiceLine(choice, tuple(options), groups)


def _column(group: list[ImplementationRow]) -> DialectColumn:
    first = group[0]
    modes = dict.fromkeys(
        part for row in group for part, usual in ((row.execution, "eager"), (row.device, "cpu")) if part != usual
    )
    versions = tuple(dict.fromkeys(version(row) for row in group))
    return DialectColumn(first.name, versions, ", ".join(modes), first.provenance)
