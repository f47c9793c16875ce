"""Records of errors: as recorded a cell deviates, otherwise it has changed; what follows is judged as after no call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from conformance.definition.dialect import Dialect
from conformance.host.observation import Observation, Outcome, Raised
from conformance.results.rows import QuantityRow
from conformance.verdict.deviations import Deviation
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

Asks = Callable[..., Question]
Answers = Callable[..., Observation]
Key = tuple[int, str]
REFUSED = Raised("ValueError", "rank 5 is not supported")
#: A training call, and an evaluate after it.
TWICE = [{"train": "a", "name": "first"}, {"evaluate": "b"}]


@pytest.fixture
def refusal(record: Callable[..., Deviation]) -> Callable[..., Deviation]:
    """Return a maker of records: a call raises a ``ValueError`` that speaks of rank 5, unless told otherwise."""

    def make(**changes: Any) -> Deviation:
        fields = {"name": "no rank 5", "quantities": (), "variants": (), "raises": "ValueError", "message": "rank 5"}
        return record(**{**fields, **changes})

    return make


def failing(seen: Observation, number: int, error: Raised, *, kept: Mapping[Key, Outcome] | None = None) -> Observation:
    """Return the answer with an error in place of what a step yielded."""
    others = {key: one for key, one in seen.outcomes.items() if key[0] != number}
    return replace(seen, outcomes={**others, (number, "outcome"): error, **(kept or {})})


def told(rows: tuple[QuantityRow, ...]) -> list[tuple[int, str, str]]:
    return [(row.step, row.name, row.verdict) for row in rows]


def test_an_error_as_recorded_deviates(ask: Asks, answer: Answers, refusal: Callable[..., Deviation]) -> None:
    """The row has the record's name and reason, and the error."""
    question = ask()
    (row,) = judge(question, failing(answer(question), 1, REFUSED), (refusal(),))
    assert ("outcome", "deviates", "no rank 5", "Gamma is ignored.") == (
        row.name, row.verdict, row.deviation, row.explanation,
    )
    assert ("ValueError", "rank 5 is not supported") == (row.raises, row.message)


OTHERS = {
    "type": Raised("TypeError", "rank 5 is not supported"),
    "message": Raised("ValueError", "no GPU"),
}


@pytest.mark.parametrize("error", OTHERS.values(), ids=OTHERS)
def test_another_error_is_changed(
    ask: Asks, answer: Answers, refusal: Callable[..., Deviation], error: Raised
) -> None:
    """An error of another type, or with another message, is not the one that was recorded."""
    question = ask()
    rows = judge(question, failing(answer(question), 1, error), (refusal(),))
    assert ("changed", "no rank 5") == (rows[0].verdict, rows[0].deviation)
    assert ["outcome"] == [row.name for row in rows]
    assert f"raised {error.type}, recorded to raise ValueError with 'rank 5' in its message" == rows[0].explanation


def test_an_answer_is_changed(ask: Asks, answer: Answers, refusal: Callable[..., Deviation]) -> None:
    """Where every call answers as predicted the record is stale."""
    question = ask()
    (*others, row) = judge(question, answer(question), (refusal(),))
    assert {"agrees"} == {one.verdict for one in others}
    assert ("outcome", "changed", "no rank 5") == (row.name, row.verdict, row.deviation)
    assert "and did not: the record is stale" in str(row.explanation)


def test_one_of_two_errors_does_not_do(ask: Asks, answer: Answers, refusal: Callable[..., Deviation]) -> None:
    """Of two records each has to be seen."""
    question = ask(steps=[{"train": "a"}, {"train": "b"}])
    records = (refusal(), refusal(name="no memory", raises="MemoryError", message=""))
    rows = judge(question, failing(answer(question), 1, REFUSED), records)
    assert {(1, "outcome", "deviates"), (2, "outcome", "changed")} <= set(told(rows))
    assert "no memory" == next(row.deviation for row in rows if row.verdict == "changed")


def test_what_follows_is_judged_as_without_the_call(
    ask: Asks, answer: Answers, refusal: Callable[..., Deviation]
) -> None:
    """After a training call that failed the state is what it was: evaluating with it agrees, with another differs."""
    question = ask(steps=TWICE)
    alone = ask(steps=TWICE[1:], inputs={"b": {}})
    after = {(2, name): one for (_, name), one in answer(alone).outcomes.items()}
    seen = replace(failing(answer(question), 1, REFUSED), outcomes={(1, "outcome"): REFUSED, **after})
    expected = [(1, "outcome", "deviates"), *[(2, name, "agrees") for name in ("y", "running_mean", "running_var")]]
    assert expected == told(judge(question, seen, (refusal(),)))
    moved = failing(answer(question), 1, REFUSED)
    assert {"differs"} == {row.verdict for row in judge(question, moved, (refusal(),)) if row.step == 2}


def test_a_backward_of_it_fails_too(ask: Asks, answer: Answers, refusal: Callable[..., Deviation]) -> None:
    """A backward has nothing to go back from where its forward failed as recorded: that is no fault of its own."""
    question = ask(steps=[{"train": "a", "name": "first"}, {"backward": "first", "gradients": ["x"], "observe": []}])
    errors = {(1, "outcome"): REFUSED, (2, "outcome"): Raised("NoForward", "nothing to go back from")}
    rows = judge(question, replace(answer(question), outcomes=errors), (refusal(),))
    assert [(1, "outcome", "deviates"), (2, "outcome", "agrees")] == told(rows)
    assert "its forward had failed" == rows[1].explanation


def test_an_error_of_the_backward_leaves_the_forward(
    ask: Asks, answer: Answers, refusal: Callable[..., Deviation]
) -> None:
    """What the forward gave is judged, and the state counts as moved, where only the backward fails as recorded."""
    steps = [{"train": "a", "gradients": ["x"], "observe": ["y"]}, {"evaluate": "b", "observe": ["y"]}]
    question = ask(steps=steps)
    seen = answer(question)
    rows = judge(question, failing(seen, 1, REFUSED, kept={(1, "y"): seen.outcomes[1, "y"]}), (refusal(),))
    assert [(1, "outcome", "deviates"), (1, "y", "agrees"), (2, "y", "agrees")] == told(rows)


def test_a_layer_that_cannot_be_built(ask: Asks, refusal: Callable[..., Deviation]) -> None:
    """An error of building the layer is recorded like that of a call."""
    seen = Observation(Dialect(), outcomes={(0, "outcome"): REFUSED})
    assert [(0, "outcome", "deviates")] == told(judge(ask(), seen, (refusal(),)))


def test_a_missing_ability_tells_nothing(ask: Asks, refusal: Callable[..., Deviation]) -> None:
    """Where the adapter lacks what the case needs, a record is neither used nor stale."""
    seen = Observation(Dialect(), outcomes={(1, "outcome"): Raised("Unsupported", "no method hvp")})
    assert [(1, "outcome", "unsupported")] == told(judge(ask(), seen, (refusal(),)))


def test_a_declared_refusal_is_not_the_recorded_error(ask: Asks, refusal: Callable[..., Deviation]) -> None:
    """An error that the case itself asks for fulfils no record."""
    question = ask(steps=[{"train": "wrong", "rejected": True, "observe": []}], inputs={"wrong": {"shape": "5x3"}})
    seen = Observation(Dialect(), outcomes={(1, "outcome"): REFUSED})
    assert [(1, "outcome", "changed")] == told(judge(question, seen, (refusal(),)))
