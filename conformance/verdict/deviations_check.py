"""Holds recorded deviations against the corpus and against what was run: none matches nothing, or too much."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from conformance.corpus.case import Case
from conformance.corpus.select import matches
from conformance.definition.dialect import UNDECLARED, Dialect, choices, options
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS, apply
from conformance.errors import DeviationError
from conformance.results.rows import CellRow, ImplementationRow
from conformance.verdict.deviations import Deviation
from conformance.verdict.oracle import Question
from conformance.verdict.table import changes

__all__ = ["check_against", "faults_of", "strangers", "unused"]

#: Leaves no quantity undetermined, so that a record about any of them can be held against it.
_DETERMINED: dict[str, str] = {
    choice: next(option for option in options(choice) if option != UNDECLARED) for choice in choices()
} | {"statistics_gradient": "leaf", "update_gradient": "differentiable"}


def check_against(deviations: Iterable[Deviation], cases: Sequence[Case]) -> None:
    """Refuse a record that matches nothing in the whole corpus, or too much.

    A pattern covers a case, and each case that it covers has one of the record's quantities in which
    the variants make a difference, or, where the record is of an error, an answer to give. Simulates the cases that
    are covered, and no other; those that have a tag, as ``large`` has, take too long for that, and are held against
    the record where they are run.

    Raises:
        DeviationError: naming the record and what to write in place of its pattern or quantities.
    """
    for record in deviations:
        _refuse_unmatched(record, cases)
        _refuse_too_broad(record, cases)


def faults_of(deviations: Iterable[Deviation], cases: Sequence[Case]) -> list[str]:
    """Return what ``check_against`` has to say of each record that it refuses."""
    messages = []
    for record in deviations:
        try:
            check_against([record], cases)
        except DeviationError as error:
            messages.append(str(error))
    return messages


def _refuse_unmatched(record: Deviation, cases: Sequence[Case]) -> None:
    for pattern in record.cases:
        if not any(matches(pattern, case.id) for case in cases):
            raise DeviationError(
                f"recorded deviation {record.name!r}: the pattern {pattern!r} matches no case",
                hint=f"remove the line `- {pattern}` from its `cases`, or mend it; "
                "`conformance list --cases` prints every id",
            )


def _refuse_too_broad(record: Deviation, cases: Sequence[Case]) -> None:
    covered = [case for case in cases if record.concerns_case(case.id)]
    changed = {case.id: _changed(record, case) for case in covered if not case.tags}
    for pattern in record.cases:
        _refuse_pattern(record, pattern, {name: kept for name, kept in changed.items() if matches(pattern, name)})
    idle = sorted(set(record.quantities).difference(*changed.values()))
    if idle and len(changed) == len(covered):
        kept = ", ".join(name for name in record.quantities if name not in idle)
        raise DeviationError(
            f"recorded deviation {record.name!r}: its variants change {', '.join(idle)} in none of its cases",
            hint=f"write `quantities: [{kept}]`" if kept else "remove the record",
        )


def unused(
    deviations: Iterable[Deviation], cases: Sequence[Case], columns: Collection[ImplementationRow],
    cells: Collection[CellRow],
) -> list[str]:  # fmt: skip
    """Return a message for each record that was put to the test in full, and excused nothing.

    That is a record that concerns a column whose every covered case of the corpus ``cases`` was
    answered, but for those with a tag that were not asked, and of whose cells none used it. Where all are unsupported,
    for want of a package to export with for instance, nothing was put to the test.
    """
    messages = []
    for record, column in product(deviations, columns):
        if not record.concerns_implementation(column.name, _version(column), column.execution):
            continue
        covered = [cell for cell in cells if cell.implementation == column.id and record.concerns_case(cell.case)]
        asked = {cell.case for cell in covered if cell.verdict not in ("crashed", "void")}
        awaited = {case.id for case in cases if not case.tags and record.concerns_case(case.id)}
        if awaited - asked or all(cell.verdict == "unsupported" for cell in covered if cell.case in asked):
            continue
        if not any(_uses(cell, record) for cell in covered):
            messages.append(_told(record, f"none of the {len(covered)} cells that it covers on {column.id} uses it"))
    return messages


def strangers(deviations: Iterable[Deviation], names: Collection[str]) -> list[str]:
    """Return a message for each record of an implementation that is none of ``names``."""
    return [
        f"recorded deviation {record.name!r} is of {record.implementation!r}, which is no implementation\n"
        f"  hint: write `implementation:` one of {', '.join(sorted(names))}"
        for record in deviations
        if record.implementation not in names
    ]


def _told(record: Deviation, what: str) -> str:
    return (
        f"recorded deviation {record.name!r}: {what}\n"
        "  hint: remove it, or write in its `versions` those that still deviate"
    )


def _version(column: ImplementationRow) -> str:
    return next(iter(column.versions.values()), "0")


def _uses(cell: CellRow, record: Deviation) -> bool:
    return any(record.name in (row.deviation or "").split(" + ") for row in cell.quantities)


def _refuse_pattern(record: Deviation, pattern: str, changed: Mapping[str, Collection[str]]) -> None:
    idle = [name for name, quantities in changed.items() if not quantities]
    if not idle:
        return
    kept = [name for name, quantities in changed.items() if quantities]
    fix = "".join(f"\n    - {name}" for name in kept)
    where = "which is open: no answer is predicted" if record.raises else (
        "where its variants change none of its quantities"
    )  # fmt: skip
    raise DeviationError(
        f"recorded deviation {record.name!r}: the pattern {pattern!r} covers {idle[0]}"
        f"{f' and {len(idle) - 1} more' if idle[1:] else ''}, {where}",
        hint=f"in its `cases` replace `- {pattern}` by{fix}" if kept else f"remove `- {pattern}` from its `cases`",
    )


def _changed(record: Deviation, case: Case) -> set[str]:
    """Return the quantities of the record that its variants change in the case, whatever else is declared.

    Of an error that is the outcome, wherever there is an answer to give.
    """
    if record.raises:
        return set() if case.open else {"outcome"}
    question = Question(case)
    changed: set[str] = set()
    for rules in _declarations(record):
        without, applied = question.predict(rules), question.predict(apply(record.variants, rules))
        for key, one in without.items():
            other = applied.get(key)
            if key[1] in record.quantities and isinstance(one, Expected) and isinstance(other, Expected):
                changed |= {key[1]} if changes(one, other) else set()
    return changed


def _declarations(record: Deviation) -> Iterator[Rules]:
    """Yield the rules that a record may start from: any option of the choices that its variants make."""
    made = sorted({choice for name in record.variants for choice in VARIANTS[name].choices})
    for chosen in product(*(options(choice) for choice in made)):
        dialect: Any = {**_DETERMINED, **dict(zip(made, chosen, strict=True))}
        yield Rules(dialect=replace(Dialect(), **dialect))
