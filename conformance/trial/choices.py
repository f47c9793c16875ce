"""Whether every option of every choice can be told from the others by some case of the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from conformance.corpus.case import Case
from conformance.definition.dialect import UNDECLARED, Dialect, choices, options
from conformance.definition.prediction import Expected, Prediction
from conformance.definition.rules import Rules
from conformance.verdict.compare import apart
from conformance.verdict.oracle import Question

__all__ = ["indistinct_options"]

#: Leaves nothing undetermined beside the choice that is looked at.
_DETERMINED: dict[str, Any] = {
    choice: next(option for option in options(choice) if option != UNDECLARED) for choice in choices()
}


def indistinct_options(cases: Sequence[Case]) -> Iterator[str]:
    """Yield a message for each pair of options that no case tells apart.

    Looks only at cases that cite the clause which leaves the choice; an open one tells nothing.
    """
    for choice, clause in choices().items():
        citing = [Question(case) for case in cases if clause in case.clauses and not case.open]
        if not citing:
            yield f"the choice {choice} is unused: no case cites clause {clause}"
            continue
        for one, other in combinations([option for option in options(choice) if option != UNDECLARED], 2):
            if not any(_told_apart(question, choice, one, other) for question in citing):
                yield f"the choice {choice}: no case of clause {clause} tells {one} from {other}"


def _told_apart(question: Question, choice: str, one: str, other: str) -> bool:
    first, second = (question.predict(Rules(dialect=_dialect(choice, option))) for option in (one, other))
    return first.keys() != second.keys() or any(_differ(first, second, first))


def _differ(first: Prediction, second: Prediction, keys: Iterable[tuple[int, str]]) -> Iterator[bool]:
    for key in keys:
        here, there = first[key], second[key]
        if isinstance(here, Expected) and isinstance(there, Expected):
            yield apart(here, there)
        else:
            yield type(here) is not type(there)


def _dialect(choice: str, option: str) -> Dialect:
    return replace(Dialect(), **{**_DETERMINED, choice: option})
