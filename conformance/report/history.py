"""The versions of an implementation in one file, and since which of them something is so."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from conformance.report.wording import version
from conformance.results.rows import ImplementationRow

__all__ = ["families", "since", "version_key"]


def version_key(row: ImplementationRow) -> list[int]:
    """Return what versions are ordered by: the numbers in them."""
    return [int(part) for part in re.findall(r"\d+", version(row))]


def families(implementations: Sequence[ImplementationRow]) -> list[tuple[int, ...]]:
    """Return the positions of columns that are versions of one another, the oldest first."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for position, row in enumerate(implementations):
        found.setdefault((row.name, row.execution, row.device, row.provenance), []).append(position)
    return [tuple(sorted(own, key=lambda at: version_key(implementations[at]))) for own in found.values()]


def since(family: Sequence[int], seen: Collection[int], implementations: Sequence[ImplementationRow]) -> str:
    """Say in which versions of a family something was seen; empty where there is only one.

    >>> rows = [ImplementationRow(id=f"a@{v}:eager:cpu", name="a", versions={}) for v in (1, 2, 3)]
    >>> since((0, 1, 2), {1, 2}, rows), since((0, 1, 2), {0}, rows), since((0, 1), {0, 1}, rows)
    ('since 2, not in 1', 'up to 1, not in 2', 'in both versions here, 1 to 2')
    """
    if len(family) < 2:
        return ""
    names = [version(implementations[at]) for at in family]
    flags = [at in seen for at in family]
    first = flags.index(True)
    last = len(flags) - 1 - flags[::-1].index(True)
    if all(flags):
        return f"in {'both' if len(names) == 2 else f'all {len(names)}'} versions here, {names[0]} to {names[-1]}"
    if all(flags[first : last + 1]):
        before = f"since {names[first]}, not in {names[first - 1]}" if first else ""
        after = f"up to {names[last]}, not in {names[last + 1]}" if last + 1 < len(names) else ""
        return "; ".join(part for part in (before, after) if part)
    shown, hidden = (
        ", ".join(name for name, flag in zip(names, flags, strict=True) if flag is wanted) for wanted in (True, False)
    )
    return f"in {shown}, not in {hidden}"
