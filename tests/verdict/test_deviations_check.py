"""Records are held against the corpus and against finished cells; one that matches nothing, or too much, is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from conformance.adapters.registry import known
from conformance.corpus.case import Case
from conformance.corpus.load import load_definitions
from conformance.errors import DeviationError
from conformance.results.rows import CellRow, ImplementationRow, QuantityRow, Verdict
from conformance.verdict.deviations import Deviation, load_deviations
from conformance.verdict.deviations_check import check_against, strangers, unused
from conformance.verdict.oracle import Question

Asks = Callable[..., Question]
Records = Callable[..., Deviation]
COLUMN = ImplementationRow(id="fake@1:eager:cpu", name="fake", versions={"fake": "1"})


@pytest.fixture
def cases(ask: Asks) -> Sequence[Case]:
    """Return a case in which gamma matters, two in which it does not, and one that reads no output."""
    varied: dict[str, dict[str, Any]] = {
        "made/up[gamma=random]": {}, "made/up[gamma=ones]": {"gamma": "ones"}, "made/up[gamma=none]": {"gamma": "none"},
        "made/state": {"steps": [{"train": "a", "observe": ["running_mean"]}]},
    }  # fmt: skip
    return [ask(id=name, **changes).case for name, changes in varied.items()]


def test_the_suites_own_records_hold() -> None:
    """Every record of the suite covers cases, and in each of them makes a difference."""
    check_against(load_deviations(), [case for definition in load_definitions() for case in definition.cases])


def test_the_suites_own_records_are_of_its_adapters() -> None:
    """Every record of the suite is of an implementation that one of its adapters puts to it."""
    by_command = {"keras-2"}  # of matrix.yaml: an environment of its own, beside today's Keras
    assert [] == strangers(load_deviations(), {name.partition(":")[0] for name in known()} | by_command)


def test_a_fitting_record_holds(record: Records, cases: Sequence[Case]) -> None:
    """A record that covers only what it changes is accepted."""
    check_against([record(cases=("made/up[gamma=random]",))], cases)


def test_a_pattern_without_a_case(record: Records, cases: Sequence[Case]) -> None:
    """A pattern that matches no case is told with the line to remove."""
    with pytest.raises(DeviationError) as refusal:
        check_against([record(cases=("made/up[gamma=random]", "made/down"))], cases)
    assert "recorded deviation 'no gamma': the pattern 'made/down' matches no case" in str(refusal.value)
    assert "remove the line `- made/down` from its `cases`, or mend it" in str(refusal.value)


def test_too_broad_a_pattern(record: Records, cases: Sequence[Case]) -> None:
    """A pattern that also covers cases in which nothing changes is told with the patterns to write instead."""
    with pytest.raises(DeviationError) as refusal:
        check_against([record(cases=("made/*",))], cases)
    assert "'made/*' covers made/up[gamma=ones] and 2 more, where its variants change none" in str(refusal.value)
    assert "in its `cases` replace `- made/*` by\n    - made/up[gamma=random]" in str(refusal.value)


def test_a_pattern_of_no_effect(record: Records, cases: Sequence[Case]) -> None:
    """A pattern all of whose cases are indifferent is told to go."""
    with pytest.raises(DeviationError, match=r"hint: remove `- made/state` from its `cases`"):
        check_against([record(cases=("made/up[gamma=random]", "made/state"))], cases)


def test_a_quantity_of_no_effect(record: Records, cases: Sequence[Case]) -> None:
    """A quantity that the variants change in none of the cases is told with the list to write instead."""
    with pytest.raises(DeviationError) as refusal:
        check_against([record(cases=("made/up[gamma=random]",), quantities=("running_mean", "y", "dx"))], cases)
    assert "'no gamma': its variants change dx, running_mean in none of its cases" in str(refusal.value)
    assert "hint: write `quantities: [y]`" in str(refusal.value)


def test_an_error_where_nothing_is_predicted(record: Records, ask: Asks) -> None:
    """A record of an error covers cases with an answer to give, and no open one."""
    one, other = ask().case, ask(id="made/open", open=True).case
    refusal = record(cases=("made/*",), quantities=(), variants=(), raises="ValueError")
    check_against([refusal], [one])
    with pytest.raises(DeviationError, match="covers made/open, which is open: no answer is predicted"):
        check_against([refusal], [one, other])


def test_rounding_alone_is_a_difference(record: Records, ask: Asks) -> None:
    """A variant that allows more rounding, and predicts the same values, may be recorded."""
    offset = ask(dtype="float32", x={"offset": 1000}).case
    check_against([record(variants=("one-pass variance",))], [offset])


def test_an_option_of_a_choice_may_be_recorded(record: Records, ask: Asks) -> None:
    """An option is a difference from whatever else the implementation may declare, the reference's too."""
    case = ask().case
    for option in ("sample running variance", "population running variance"):
        check_against([record(variants=(option,), quantities=("running_var",))], [case])


def test_what_is_undeclared_by_default_may_be_recorded(record: Records, ask: Asks) -> None:
    """A record may speak of a quantity that the definition leaves open and the implementation declares."""
    steps = [
        {"evaluate": "a", "name": "first", "observe": []},
        {"train": "a", "observe": []},
        {"backward": "first", "gradients": ["running_mean"], "observe": []},
    ]
    changed = record(variants=("backward of the current state",), quantities=("drunning_mean",))
    check_against([changed], [ask(steps=steps).case])


def test_a_tagged_case_is_taken_at_its_word(record: Records, ask: Asks) -> None:
    """What is too large to be simulated in passing has to exist, and no more."""
    large = ask(id="made/large", gamma="none", tags=["large"]).case
    check_against([record(cases=("made/large",))], [large])


def cell(case: str, *, deviation: str | None = None, verdict: Verdict = "agrees", who: str = COLUMN.id) -> CellRow:
    row = QuantityRow(step=1, name="y", clause="1.1", verdict=verdict, deviation=deviation)
    return CellRow(case=case, implementation=who, verdict=verdict, quantities=(row,))


ALL = ("made/up[gamma=random]", "made/up[gamma=ones]", "made/up[gamma=none]")
USES = {
    "used once": ([cell(ALL[0], deviation="no gamma"), cell(ALL[1]), cell(ALL[2])], False),
    "used with another": ([cell(ALL[0], deviation="no beta + no gamma"), cell(ALL[1]), cell(ALL[2])], False),
    "never used": ([cell(name) for name in ALL], True),
    "another used": ([cell(name, deviation="no gamma at all") for name in ALL], True),
    "not all cases run": ([cell(name) for name in ALL[:2]], False),
    "no case run": ([], False),
    "crashed in one": ([cell(ALL[0], verdict="crashed"), cell(ALL[1]), cell(ALL[2])], False),
    "unsupported in one": ([cell(ALL[0], verdict="unsupported"), cell(ALL[1]), cell(ALL[2])], True),
    "unsupported in all": ([cell(name, verdict="unsupported") for name in ALL], False),
    "another implementation": ([cell(name, who="other@1:eager:cpu") for name in ALL], False),
}


@pytest.mark.parametrize(("cells", "told"), USES.values(), ids=USES.keys())
def test_unused(record: Records, cases: Sequence[Case], cells: list[CellRow], told: bool) -> None:
    """A record that no cell uses is told once all its cells are known, and only then."""
    messages = unused([record()], cases, [COLUMN], cells)
    assert told == bool(messages)
    if told:
        (message,) = messages
        assert f"recorded deviation 'no gamma': none of the 3 cells that it covers on {COLUMN.id} uses it" in message
        assert "hint: remove it, or write in its `versions` those that still deviate" in message


@pytest.mark.parametrize("deviation", ["no gamma", None])
def test_a_tagged_case_that_was_asked_counts(record: Records, ask: Asks, deviation: str | None) -> None:
    """A record of a tagged case alone is told as unused where that was asked and did not use it."""
    large = ask(id="made/large", tags=["large"]).case
    answers = [cell("made/large", deviation=deviation)]
    assert (deviation is None) == bool(unused([record(cases=("made/large",))], [large], [COLUMN], answers))


def test_a_tagged_case_that_was_not_asked_is_not_awaited(record: Records, cases: Sequence[Case], ask: Asks) -> None:
    """A record whose other cases were all answered is told, although a tagged one was not asked."""
    large = ask(id="made/large", tags=["large"]).case
    messages = unused([record(cases=("made/*",))], [*cases[:3], large], [COLUMN], [cell(name) for name in ALL])
    assert len(messages) == 1


def test_a_record_of_other_versions_is_not_expected(record: Records, cases: Sequence[Case]) -> None:
    """A version that the record leaves out does not have to use it."""
    assert [] == unused([record(versions=">=2")], cases, [COLUMN], [cell(name) for name in ALL])


def test_strangers(record: Records) -> None:
    """A record of an implementation that nobody knows is told with those that there are."""
    (message,) = strangers([record(), record(implementation="torhc")], ["fake", "torch"])
    assert "recorded deviation 'no gamma' is of 'torhc', which is no implementation" in message
    assert "write `implementation:` one of fake, torch" in message
