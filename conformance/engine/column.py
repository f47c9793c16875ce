"""The row that describes a column: an implementation with its dialect."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from conformance.adapters.contract import Implementation
from conformance.adapters.naming import naming_of
from conformance.definition.dialect import Dialect
from conformance.results.rows import ImplementationRow

__all__ = ["implementation_row", "joined"]


def implementation_row(implementation: Implementation, dialect: Dialect | None) -> ImplementationRow:
    """Return the row; the dialect is empty where nothing was declared. The same row for the same two."""
    known = _rows.get((implementation.id, dialect))
    if known is None or known[0] != implementation:
        known = _rows[implementation.id, dialect] = (implementation, _row(implementation, dialect))
    return known[1]


#: The rows of the columns at hand, with whom they are of: an id does not tell everything.
_rows: dict[tuple[str, Dialect | None], tuple[Implementation, ImplementationRow]] = {}


def _row(implementation: Implementation, dialect: Dialect | None) -> ImplementationRow:
    naming = naming_of(implementation.name)
    names = {} if naming is None else {name: value for name, value in asdict(naming).items() if value not in (None, "")}
    return ImplementationRow(
        id=implementation.id, name=implementation.name, versions=dict(implementation.versions),
        execution=implementation.execution, device=implementation.device,
        dialect={} if dialect is None else asdict(dialect),
        documentation=implementation.documentation, settings=dict(implementation.settings), title=implementation.title,
        names=names,
    )  # fmt: skip


def joined(one: ImplementationRow, other: ImplementationRow) -> ImplementationRow:
    """Return one row for both; an option that varies with the layer is shown as ``a / b``."""
    options = dict(one.dialect)
    for choice, option in other.dialect.items():
        known = options.get(choice, option).split(" / ")
        options[choice] = " / ".join(sorted({*known, option}))
    return msgspec.structs.replace(one, dialect=options)
