"""Errors raised where an answer was predicted, held against the records that say that a call raises."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from conformance.corpus.case import Case, Step
from conformance.definition.prediction import Key, Prediction, Refused, Undetermined
from conformance.host.observation import UNSUPPORTED, Observation, Raised
from conformance.results.rows import QuantityRow
from conformance.verdict.deviations import Deviation
from conformance.verdict.oracle import Question
from conformance.verdict.quantity import outcome_row

__all__ = ["as_recorded", "failed_forwards", "raised_row", "without"]


def raised_row(key: Key, clause: str, observed: Raised, deviations: Sequence[Deviation]) -> QuantityRow:
    """Judge an error where an answer was predicted: recorded as it is, recorded otherwise, or not at all."""
    records = [record for record in deviations if record.raises]
    if not records:
        return outcome_row(key, clause, "differs", observed, f"raised {observed.type}, expected an answer")
    fitting = next((record for record in records if record.awaits(observed)), None)
    if fitting is not None:
        return _by(fitting.name, outcome_row(key, clause, "deviates", observed, fitting.reason))
    said = f"raised {observed.type}, recorded to raise {' or '.join(record.error for record in records)}"
    names = " + ".join(record.name for record in records)
    return _by(names, outcome_row(key, clause, "changed", observed, said))


def as_recorded(
    rows: Sequence[QuantityRow], last: Key, clause: str, deviations: Sequence[Deviation]
) -> tuple[QuantityRow, ...]:
    """Return the rows of a cell, with that of its ``last`` outcome ``changed`` where a recorded error did not come.

    Where another error came that is told already, the layer could not be built, or it lacks an ability, nothing is
    known of what did not come.
    """
    failed = [row for row in rows if row.name == "outcome"]
    seen = {row.deviation for row in failed if row.verdict == "deviates"}
    absent = [record for record in deviations if record.raises and record.name not in seen]
    if not absent or any(row.step == 0 or row.verdict in ("changed", "unsupported") for row in failed):
        return tuple(rows)
    said = f"recorded to raise {' and '.join(record.error for record in absent)}, and did not: the record is stale"
    stale = _by(" + ".join(record.name for record in absent), outcome_row(last, clause, "changed", None, said))
    return (*(row for row in rows if (row.step, row.name) != last), stale)


def failed_forwards(case: Case, predicted: Prediction, observation: Observation) -> frozenset[int]:
    """Return the steps whose forward ended in an error, where an answer was predicted."""
    undetermined = {number for (number, _), one in predicted.items() if isinstance(one, Undetermined)}
    refused = {number for (number, _), one in predicted.items() if isinstance(one, Refused)}
    return frozenset(
        number for number, step in enumerate(case.program, start=1)
        if step.mode is not None and not step.differentiates and not step.deployed
        and number not in undetermined | refused and (number, "y") not in observation.outcomes
        and isinstance(error := observation.outcomes.get((number, "outcome")), Raised) and error.type != UNSUPPORTED
    )  # fmt: skip


def without(question: Question, failed: Collection[int]) -> Question:
    """Return the question as if the calls of some steps were to fail: what follows is predicted without them.

    A call that fails leaves the state as it was (clause 4.7), and a backward of it has nothing to go back from.
    """
    forwards = (step for number, step in enumerate(question.case.program, start=1) if number in failed)
    lost = {step.name for step in forwards if step.name is not None}
    steps = tuple(
        _failing(step) if number in failed else _apart_from(step, lost)
        for number, step in enumerate(question.case.program, start=1)
    )
    return Question(msgspec.structs.replace(question.case, steps=steps, repeat=1), question.arrays)


def _failing(step: Step) -> Step:
    return msgspec.structs.replace(step, rejected=True, against=None, target=None, same_as=None)


def _apart_from(step: Step, lost: Collection[str]) -> Step:
    """Return a step without what it says of the output of a call that failed."""
    changes: dict[str, Any] = {field: None for field in ("same_as", "against") if getattr(step, field) in lost}
    return msgspec.structs.replace(step, **changes) if changes else step


def _by(records: str, row: QuantityRow) -> QuantityRow:
    return msgspec.structs.replace(row, deviation=records)
