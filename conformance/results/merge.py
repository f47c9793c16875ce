"""Merging results files of different runs, machines and versions into one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from conformance.errors import ResultsError
from conformance.results.read import Results
from conformance.results.rows import CaseRow, CellRow, ImplementationRow, MergedRunRow, RunRow

__all__ = ["merge"]

#: Fields of a column that are mappings, and have to agree where both files have an entry.
_STATED = ("versions", "dialect", "settings")


def merge(results: Sequence[Results], names: Sequence[str] = ()) -> Results:
    """Return the union of cases, implementations and cells; the first text of a case is kept.

    A cell that several files hold is kept once if they give it the same verdict. ``runs`` of the
    merged run row tells what each file was, and notes where its corpus differed.

    Args:
        results: what to merge, at least one.
        names: what to call each in a message, normally its path.

    Raises:
        ResultsError: two files give one cell different verdicts, or describe one implementation id
            differently.
    """
    if not results:
        raise ResultsError("nothing to merge", hint="name at least one results file")
    labels = list(names) or [f"results {position}" for position in range(1, len(results) + 1)]
    cases = _union_of_cases(results)
    columns = _union_of_columns(results, labels)
    return Results(
        run=_merged_run(results, cases, columns),
        cells=_union_of_cells(results, labels),
        complete=all(one.complete for one in results),
        seconds=sum(one.seconds for one in results),
    )


def _merged_run(results: Sequence[Results], cases: dict[str, CaseRow], columns: dict[str, ImplementationRow]) -> RunRow:
    runs = [one.run for one in results]
    present = {column.name for column in columns.values()}
    return RunRow(
        suite=", ".join(dict.fromkeys(run.suite for run in runs)),
        started=min(run.started for run in runs),
        machine=_shared_entries([run.machine for run in runs]),
        cases_digest=_digest([run.cases_digest for run in runs]),
        cases=tuple(cases.values()),
        implementations=tuple(columns.values()),
        not_installed={
            name: reason for run in runs for name, reason in run.not_installed.items() if name not in present
        },
        selection="; ".join(dict.fromkeys(run.selection for run in runs if run.selection)),
        clauses={number: clause for run in reversed(runs) for number, clause in run.clauses.items()},
        runs=tuple(part for one in results for part in _parts(one, cases)),
    )


def _union_of_cases(results: Sequence[Results]) -> dict[str, CaseRow]:
    cases: dict[str, CaseRow] = {}
    for one in results:
        for case in one.run.cases:
            cases.setdefault(case.id, case)
    return cases


def _union_of_columns(results: Sequence[Results], labels: Sequence[str]) -> dict[str, ImplementationRow]:
    columns: dict[str, tuple[ImplementationRow, str]] = {}
    for one, label in zip(results, labels, strict=True):
        for row in one.run.implementations:
            kept, origin = columns.setdefault(row.id, (row, label))
            unlike = list(_unlike(kept, row))
            if unlike:
                raise ResultsError(
                    f"{origin} and {label}: {row.id} differs in {'; '.join(unlike)}",
                    hint="a column stands for one installation; leave one of the files out, or run one of them again",
                )
            columns[row.id] = (_joined(kept, row), origin)
    rows = sorted((row for row, _ in columns.values()), key=_side_by_side([row.name for row, _ in columns.values()]))
    return {row.id: row for row in rows}


def _side_by_side(names: list[str]) -> Callable[[ImplementationRow], tuple[object, ...]]:
    """Return the order that puts the versions of an implementation side by side, the oldest first."""
    return lambda row: (
        names.index(row.name),
        row.execution,
        row.device,
        [int(part) for part in re.findall(r"\d+", row.id.partition("@")[2])],
    )


def _unlike(one: ImplementationRow, other: ImplementationRow) -> Iterator[str]:
    """Yield what the rows contradict each other in; what only one of them states is no contradiction."""
    if one.provenance != other.provenance:
        yield f"provenance ({one.provenance} and {other.provenance})"
    for field in _STATED:
        mine, theirs = getattr(one, field), getattr(other, field)
        for key in mine:
            if key in theirs and mine[key] != theirs[key]:
                yield f"{field} {key} ({mine[key]} and {theirs[key]})"


def _joined(one: ImplementationRow, other: ImplementationRow) -> ImplementationRow:
    """Return the row with what either states: a later suite may know more choices."""
    return msgspec.structs.replace(one, **{field: getattr(other, field) | getattr(one, field) for field in _STATED})


def _union_of_cells(results: Sequence[Results], labels: Sequence[str]) -> tuple[CellRow, ...]:
    cells: dict[tuple[str, str], tuple[CellRow, str]] = {}
    for one, label in zip(results, labels, strict=True):
        for cell in one.cells:
            kept, origin = cells.setdefault((cell.case, cell.implementation), (cell, label))
            if kept.verdict != cell.verdict:
                raise ResultsError(
                    f"{cell.case} on {cell.implementation}: {kept.verdict} in {origin}, {cell.verdict} in {label}",
                    hint="compare the two with `conformance diff`, and merge the one that holds",
                )
    return tuple(cell for cell, _ in cells.values())


def _parts(one: Results, cases: dict[str, CaseRow]) -> tuple[MergedRunRow, ...]:
    """Return the runs behind one results file: itself, or what it was merged from."""
    run = one.run
    unlike = tuple(case for case in run.cases if case != cases[case.id])
    note = f"{len(unlike)} of its cases have another text than shown here" if unlike else ""
    if run.runs:
        return tuple(msgspec.structs.replace(part, note=part.note or note) for part in run.runs)
    part = MergedRunRow(
        suite=run.suite,
        started=run.started,
        machine=run.machine,
        cases_digest=run.cases_digest,
        implementations=tuple(row.id for row in run.implementations),
        cells=len(one.cells),
        complete=one.complete,
        seconds=one.seconds,
        selection=run.selection,
        cases=unlike,
        note=note,
    )
    return (part,)


def _shared_entries(machines: list[dict[str, str]]) -> dict[str, str]:
    """Return what the machines have in common, and every value where they differ."""
    keys = dict.fromkeys(key for machine in machines for key in machine)
    return {key: " / ".join(dict.fromkeys(m[key] for m in machines if key in m)) for key in keys}


def _digest(digests: list[str]) -> str:
    """Return the one digest, or the SHA-256 over the sorted ones, a line each."""
    unique = sorted(set(digests))
    return unique[0] if len(unique) == 1 else hashlib.sha256("\n".join(unique).encode()).hexdigest()
