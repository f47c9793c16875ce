"""Comparing two runs: what was added, removed, changed, regressed and mended, kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from conformance.results.meaning import MeaningChange, declared_changes, observed_changes
from conformance.results.read import Results
from conformance.results.rows import FAILING, CellRow, ImplementationRow, QuantityRow, Verdict

__all__ = ["Change", "Difference", "diff"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One cell that is not what it was; ``old`` or ``new`` is ``None`` where a run lacks it.

    ``implementation`` is the column without its version, ``name:execution:device``; ``detail`` says
    what changed where the verdict did not.
    """

    case: str
    implementation: str
    old: Verdict | None
    new: Verdict | None
    old_version: str = ""
    new_version: str = ""
    detail: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs compared; a cell stands in one list only.

    ``regressed`` fails now and did not, ``mended`` the other way round, ``changed`` is any other
    change of verdict or of what explains it, ``unchanged`` a count. ``meanings`` and ``questions`` tell
    what changed its meaning in between: choices, and the ids of cases whose text is another.
    """

    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]
    regressed: tuple[Change, ...]
    mended: tuple[Change, ...]
    unchanged: int
    meanings: tuple[MeaningChange, ...] = ()
    questions: tuple[str, ...] = ()


def diff(old: Results, new: Results) -> Difference:
    """Compare two runs, cell by cell.

    Columns are matched by id where both runs have it, else by name, execution and device, so that
    one version can be held against another; where several versions could match, none is.
    """
    pairs = _pairs(old, new)
    before = {(cell.case, cell.implementation): cell for cell in old.cells}
    after = {(cell.case, pairs.get(cell.implementation, cell.implementation)): cell for cell in new.cells}
    lists: dict[str, list[Change]] = {
        name: [] for name in ("added", "removed", "changed", "regressed", "mended", "unchanged")
    }
    for key in dict.fromkeys((*before, *after)):
        was, now = before.get(key), after.get(key)
        lists[_kind(was, now)].append(_change(was, now))
    unchanged = len(lists.pop("unchanged"))
    return Difference(
        unchanged=unchanged, questions=_questions(old, new),
        meanings=tuple(_meanings(old, new, pairs, [(before[key], after[key]) for key in before if key in after])),
        **{name: tuple(changes) for name, changes in lists.items()},
    )  # fmt: skip


def _meanings(
    old: Results, new: Results, pairs: dict[str, str], cells: list[tuple[CellRow, CellRow]]
) -> Iterator[MeaningChange]:
    """Yield the choices of each column that changed: those declared, then those only seen."""
    for row in new.run.implementations:
        if row.id not in pairs:
            continue
        before = old.implementation(pairs[row.id])
        told = partial(
            MeaningChange, implementation=_column(row.name, row),
            old_version=_version(before.id), new_version=_version(row.id),
        )  # fmt: skip
        declared = list(declared_changes(before, row))
        own = [(was, now) for was, now in cells if now.implementation == row.id]
        for choice, was, now in declared:
            yield told(choice=choice, old=was, new=now, declared=True)
        for choice, was, now, count in observed_changes(before, row, own):
            if choice not in [known for known, _, _ in declared]:
                yield told(choice=choice, old=was, new=now, declared=False, cells=count)


def _questions(old: Results, new: Results) -> tuple[str, ...]:
    before = {case.id: case for case in old.run.cases}
    return tuple(case.id for case in new.run.cases if not before.get(case.id, case).asks_like(case))


def _pairs(old: Results, new: Results) -> dict[str, str]:
    """Return the old id of each new column that has one."""
    shared = {row.id for row in old.run.implementations} & {row.id for row in new.run.implementations}
    before = _by_column(old, shared)
    after = _by_column(new, shared)
    single = [column for column in before if len(before[column]) == 1 == len(after.get(column, ()))]
    return {identifier: identifier for identifier in shared} | {after[c][0]: before[c][0] for c in single}


def _by_column(results: Results, without: set[str]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for row in results.run.implementations:
        if row.id not in without:
            columns.setdefault(_column(row.name, row), []).append(row.id)
    return columns


def _column(name: str, row: ImplementationRow) -> str:
    return f"{name}:{row.execution}:{row.device}"


def _kind(was: CellRow | None, now: CellRow | None) -> str:
    if was is None:
        return "added"
    if now is None:
        return "removed"
    if (was.verdict in FAILING) != (now.verdict in FAILING):
        return "regressed" if now.verdict in FAILING else "mended"
    return "unchanged" if was.verdict == now.verdict and not _detail(was, now) else "changed"


def _change(was: CellRow | None, now: CellRow | None) -> Change:
    cell = now or was
    assert cell is not None  # the key came from one of the two
    name, _, rest = cell.implementation.partition("@")
    return Change(
        case=cell.case,
        implementation=":".join((name, *rest.split(":")[1:])),
        old=was.verdict if was else None,
        new=now.verdict if now else None,
        old_version=_version(was.implementation) if was else "",
        new_version=_version(now.implementation) if now else "",
        detail=_detail(was, now) if was and now else "",
    )


def _version(identifier: str) -> str:
    return identifier.partition("@")[2].partition(":")[0]


def _detail(was: CellRow, now: CellRow) -> str:
    """Say which quantities are explained otherwise than before."""
    telling = _names_choices(was) and _names_choices(now)
    before, after = (_explained(cell, choices=telling) for cell in (was, now))
    unlike = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
    return "; ".join(f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}" for key in unlike)


def _names_choices(cell: CellRow) -> bool:
    """Tell whether declared deviations name their choice: files of earlier suites do not."""
    return all(row.variant or row.deviation for row in cell.quantities if row.verdict == "deviates")


def _explained(cell: CellRow, *, choices: bool) -> dict[str, str]:
    return {
        f"step {row.step} {row.name}": " ".join(part for part in _parts(row, choices=choices) if part)
        for row in cell.quantities
    }


def _parts(row: QuantityRow, *, choices: bool) -> tuple[str | None, ...]:
    variant = row.variant if choices or row.verdict != "deviates" else None
    return row.verdict, variant, row.deviation, row.open, row.raises
