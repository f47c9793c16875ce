"""Merging results files of different runs, machines and versions into one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence

import msgspec

from conformance.errors import ResultsError
from conformance.results.apart import STATED, tell_apart, unlike
from conformance.results.read import Results
from conformance.results.rows import CaseRow, CellRow, ImplementationRow, MergedRunRow, RunRow

__all__ = ["merge"]


def merge(results: Sequence[Results], names: Sequence[str] = (), *, apart: bool = False) -> Results:
    """Return the union of cases, implementations and cells; the first text of a case is kept.

    Columns of one id that the files describe differently get ids of their own, see ``apart``. A cell that
    several files hold is kept once if they give it the same verdict. A modelled column gives way to one of the
    same name that was executed or recorded. ``runs`` of the merged run row tells what each file was, and notes
    where its corpus differed.

    Args:
        results: what to merge, at least one.
        names: what to call each in a message, normally its path.
        apart: whether columns of one id that give a case different verdicts are kept side by side.

    Raises:
        ResultsError: two files give one cell different verdicts, or describe one implementation id
            differently and nothing tells the files apart.
    """
    if not results:
        raise ResultsError("nothing to merge", hint="name at least one results file")
    labels = list(names) or [f"results {position}" for position in range(1, len(results) + 1)]
    results = tell_apart(_without_outdated_models(results), verdicts=apart)
    cases = _union_of_cases(results)
    columns = _union_of_columns(results, labels)
    return Results(
        run=_merged_run(results, cases, columns),
        cells=_union_of_cells(results, labels),
        complete=all(one.complete for one in results),
        seconds=sum(one.seconds for one in results),
    )


def _without_outdated_models(results: Sequence[Results]) -> list[Results]:
    """Return the results without what was predicted of an implementation that some file has real answers of."""
    answered = {row.name for one in results for row in one.run.implementations if row.provenance != "modelled"}
    return [_without(one, {
        row.id for row in one.run.implementations if row.provenance == "modelled" and row.name in answered
    }) for one in results]  # fmt: skip


def _without(one: Results, columns: Collection[str]) -> Results:
    if not columns:
        return one
    replace = msgspec.structs.replace
    kept = tuple(row for row in one.run.implementations if row.id not in columns)
    parts = tuple(
        replace(part, implementations=tuple(own for own in part.implementations if own not in columns))
        for part in one.run.runs
    )
    cells = tuple(cell for cell in one.cells if cell.implementation not in columns)
    return replace(one, run=replace(one.run, implementations=kept, runs=parts), cells=cells)


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
        selection=_selection(runs),
        clauses={number: clause for run in reversed(runs) for number, clause in run.clauses.items()},
        deviations={name: row for run in reversed(runs) for name, row in run.deviations.items()},
        variants={name: sentence for run in reversed(runs) for name, sentence in run.variants.items()},
        choices={name: row for run in reversed(runs) for name, row in run.choices.items()},
        runs=tuple(part for one in results for part in _parts(one, cases)),
    )


def _selection(runs: Sequence[RunRow]) -> str:
    """Return what the runs were filtered by, and how many of them where it is not all."""
    filtered = [run.selection for run in runs if run.selection]
    told = "; ".join(dict.fromkeys(filtered))
    return told if len(filtered) in (0, len(runs)) else f"in {len(filtered)} of {len(runs)} merged runs, {told}"


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
            contradictions = list(unlike(kept, row))
            if contradictions:
                raise ResultsError(
                    f"{origin} and {label}: {row.id} differs in {'; '.join(contradictions)}",
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


def _joined(one: ImplementationRow, other: ImplementationRow) -> ImplementationRow:
    """Return the row with what either states: a later suite may know more choices."""
    return msgspec.structs.replace(one, **{field: getattr(other, field) | getattr(one, field) for field in STATED})


def _union_of_cells(results: Sequence[Results], labels: Sequence[str]) -> tuple[CellRow, ...]:
    cells: dict[tuple[str, str], tuple[CellRow, str]] = {}
    for one, label in zip(results, labels, strict=True):
        for cell in one.cells:
            kept, origin = cells.setdefault((cell.case, cell.implementation), (cell, label))
            if kept.verdict != cell.verdict:
                raise ResultsError(
                    f"{cell.case} on {cell.implementation}: {kept.verdict} in {origin}, {cell.verdict} in {label}",
                    hint="compare the two with `conformance diff`; `conformance merge --apart` keeps them side by side",
                )
    return tuple(cell for cell, _ in cells.values())


def _parts(one: Results, cases: dict[str, CaseRow]) -> tuple[MergedRunRow, ...]:
    """Return the runs behind one results file: itself, or what it was merged from."""
    run = one.run
    reworded = tuple(case for case in run.cases if not case.asks_like(cases[case.id]))
    note = f"{len(reworded)} of its cases have another text than shown here" if reworded else ""
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
        cases=reworded,
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
