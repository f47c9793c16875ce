"""What is judged of an answer: presence before shape, dtype and values; errors; what nobody declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conformance.definition.dialect import Dialect
from conformance.host.observation import Observation, Outcome, Raised
from conformance.results.rows import SEVERITY, QuantityRow, Verdict, worst
from conformance.verdict.deviations import Deviation
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

Asks = Callable[..., Question]
Answers = Callable[..., Observation]
Records = Callable[..., Deviation]
#: Evaluates, and asks for the gradient of a running statistic.
LEAF = [{"evaluate": "a", "gradients": ["running_mean"], "observe": []}]


def changed(seen: Observation, outcomes: Mapping[tuple[int, str], Outcome | None]) -> Observation:
    """Return the answer with other outcomes; ``None`` takes one away."""
    kept = {key: one for key, one in {**seen.outcomes, **outcomes}.items() if one is not None}
    return replace(seen, outcomes=kept)


def verdicts(rows: tuple[QuantityRow, ...]) -> dict[str, str]:
    return {row.name: row.verdict for row in rows}


def test_the_oracle_agrees_with_itself(ask: Asks, answer: Answers) -> None:
    """The predicted values are inside every bound, in the order of output and state."""
    question = ask()
    rows = judge(question, answer(question))
    assert [("y", "agrees"), ("running_mean", "agrees"), ("running_var", "agrees")] == list(verdicts(rows).items())
    assert {None} == {row.discriminates for row in rows}


def test_a_missing_quantity_differs(ask: Asks, answer: Answers) -> None:
    """What was predicted and did not come back is not passed over."""
    question = ask()
    rows = judge(question, changed(answer(question), {(1, "running_var"): None}))
    assert {"y": "agrees", "running_mean": "agrees", "running_var": "differs"} == verdicts(rows)
    assert "running_var is missing" in str(rows[2].explanation)


def test_an_empty_answer_differs_throughout(ask: Asks) -> None:
    """An answer without outcomes differs in every quantity."""
    rows = judge(ask(), Observation(Dialect()))
    assert {"y": "differs", "running_mean": "differs", "running_var": "differs"} == verdicts(rows)


WRONG = {
    "transposed": (np.zeros((3, 5)), "shape (3, 5), expected (5, 3)"),
    "broadcast": (np.zeros((1, 3)), "shape (1, 3), expected (5, 3)"),
    "float32": (np.zeros((5, 3), np.float32), "dtype float32, expected float64"),
    "integers": (np.zeros((5, 3), np.int64), "dtype int64, expected float64"),
    "complex": (np.zeros((5, 3), np.complex128), "dtype complex128, expected float64"),
}


@pytest.mark.parametrize(("array", "told"), WRONG.values(), ids=WRONG.keys())
def test_shape_and_dtype(ask: Asks, answer: Answers, array: np.ndarray, told: str) -> None:
    """A wrong shape or dtype differs and is told, whatever the values."""
    question = ask()
    rows = judge(question, changed(answer(question), {(1, "y"): array}))
    assert ("differs", array.shape, array.dtype.name) == (rows[0].verdict, rows[0].shape, rows[0].dtype)
    assert str(rows[0].explanation).startswith(told)


def test_a_wrong_value_is_located_and_explained(ask: Asks, answer: Answers) -> None:
    """A row holds the worst element, its error and bound, and the variant that accounts for it."""
    question = ask()
    row = judge(question, answer(question, "gamma ignored"))[0]
    assert ("differs", "gamma ignored") == (row.verdict, row.variant)
    assert "The output is not scaled." in str(row.explanation)
    assert row.worst_index is not None
    assert isinstance(row.ratio, float)
    assert isinstance(row.error, float)
    assert isinstance(row.bound, float)
    assert row.error / row.bound == pytest.approx(row.ratio, rel=1e-3)


def test_nan_differs(ask: Asks, answer: Answers) -> None:
    """An output of NaN differs, its ratio is infinite and no variant is made up for it."""
    question = ask(shape="4x3x2")
    row = judge(question, changed(answer(question), {(1, "y"): np.full((4, 3, 2), np.nan)}))[0]
    assert ("differs", "inf", None) == (row.verdict, row.ratio, row.variant)


def test_a_declared_option_deviates(ask: Asks, answer: Answers) -> None:
    """What was declared and is observed deviates, both predictions being shown; the rest agrees."""
    question = ask()
    rows = judge(question, answer(question, dialect=Dialect(running_variance="population")))
    assert {"y": "agrees", "running_mean": "agrees", "running_var": "deviates"} == verdicts(rows)
    row = rows[2]
    assert row.declared is not None
    assert (True, None, "as the dialect declares") == (row.discriminates, row.deviation, row.explanation)
    assert row.declared != row.expected
    assert "population running variance" == row.variant


def test_a_declared_deviation_names_its_choice(ask: Asks, answer: Answers) -> None:
    """Of several declared options the one that the quantity shows is named."""
    question = ask()
    dialect = Dialect(running_variance="population", first_update="replace")
    named = {row.name: row.variant for row in judge(question, answer(question, dialect=dialect))}
    assert {
        "y": None, "running_mean": "first update replaces",
        "running_var": "population running variance + first update replaces",
    } == named  # fmt: skip


def test_a_stale_declaration_is_changed(ask: Asks, answer: Answers) -> None:
    """What was declared and is not observed, the reference being so, is changed."""
    question = ask()
    seen = replace(answer(question), dialect=Dialect(running_variance="population"))
    row = judge(question, seen)[2]
    assert "changed" == row.verdict
    assert str(row.explanation).startswith("agrees with the reference: the declaration is stale")


def test_a_recorded_deviation_deviates(ask: Asks, answer: Answers, record: Records) -> None:
    """What a record predicts deviates, by its name and for its reason."""
    question = ask()
    row = judge(question, answer(question, "gamma ignored"), (record(),))[0]
    assert ("deviates", "no gamma", "Gamma is ignored.") == (row.verdict, row.deviation, row.explanation)


def test_a_record_of_what_agrees_is_changed(ask: Asks, answer: Answers, record: Records) -> None:
    """A record of what is no longer so fails."""
    question = ask()
    row = judge(question, answer(question), (record(),))[0]
    assert ("changed", "no gamma") == (row.verdict, row.deviation)
    assert str(row.explanation).startswith("agrees with the reference: the record is stale")


def test_deviating_otherwise_than_recorded_is_changed(ask: Asks, answer: Answers, record: Records) -> None:
    """A record excuses one way of being wrong only; the other is named."""
    question = ask()
    row = judge(question, answer(question, "beta ignored"), (record(),))[0]
    assert ("changed", "beta ignored") == (row.verdict, row.variant)
    assert str(row.explanation).startswith("deviates in another way than recorded")


def test_a_record_of_another_quantity_excuses_nothing(ask: Asks, answer: Answers, record: Records) -> None:
    """A record speaks of the quantities that it names only."""
    question = ask()
    assert "differs" == judge(question, answer(question, "gamma ignored"), (record(quantities=("dx",)),))[0].verdict


def test_a_record_without_effect_excuses_nothing(ask: Asks, answer: Answers, record: Records) -> None:
    """A record whose variant changes nothing in the case neither excuses nor accuses."""
    question = ask(gamma="ones")
    assert ("agrees", None) == _told(judge(question, answer(question), (record(),))[0])
    assert ("differs", None) == _told(judge(question, answer(question, "beta ignored"), (record(),))[0])


def test_two_records_are_taken_together(ask: Asks, answer: Answers, record: Records) -> None:
    """Records of the same quantity predict together; with one of them mended the other does not suffice."""
    question = ask()
    records = (record(), record(name="no beta", variants=("beta ignored",), reason="Beta is ignored."))
    row = judge(question, answer(question, "gamma ignored", "beta ignored"), records)[0]
    assert ("deviates", "no gamma + no beta") == _told(row)
    assert "Gamma is ignored. Beta is ignored." == row.explanation
    assert "changed" == judge(question, answer(question, "gamma ignored"), records)[0].verdict


def _told(row: QuantityRow) -> tuple[str, str | None]:
    return row.verdict, row.deviation


def test_an_error_differs(ask: Asks, answer: Answers) -> None:
    """An error raised is a quantity of its own; what it prevented is left to it."""
    question = ask(steps=[{"train": "a"}, {"evaluate": "a", "observe": ["y"]}])
    error = Raised("ValueError", "no")
    (*before, row) = judge(question, changed(answer(question), {(2, "y"): None, (2, "outcome"): error}))
    assert {"agrees"} == {one.verdict for one in before}
    assert ("outcome", "differs", "ValueError", "no") == (row.name, row.verdict, row.raises, row.message)
    assert str(row.explanation).startswith("raised ValueError, expected an answer")


def test_what_a_step_yields_beside_its_error_is_judged(ask: Asks, answer: Answers) -> None:
    """An output that came before the error of its step is judged all the same."""
    question = ask()
    outcomes = {(1, "running_var"): None, (1, "running_mean"): None, (1, "outcome"): Raised("OSError", "")}
    seen = changed(answer(question, "gamma ignored"), outcomes)
    assert {"outcome": "differs", "y": "differs"} == verdicts(judge(question, seen))


def test_an_error_of_create_is_all_there_is(ask: Asks) -> None:
    """A layer that cannot be built differs in its outcome, and is not accused of missing quantities too."""
    rows = judge(ask(), Observation(Dialect(), outcomes={(0, "outcome"): Raised("TypeError", "no")}))
    assert [(0, "outcome", "differs")] == [(row.step, row.name, row.verdict) for row in rows]


def test_a_lacking_ability_is_unsupported(ask: Asks) -> None:
    """A step that the adapter has no method for is unsupported, and the reason is told."""
    seen = Observation(Dialect(), outcomes={(1, "outcome"): Raised("Unsupported", "no method through_update")})
    rows = judge(ask(steps=[{"through_update": ["a", "b"], "observe": []}]), seen)
    assert [("unsupported", "no method through_update")] == [(row.verdict, row.explanation) for row in rows]


def test_a_refusal_as_declared_agrees(ask: Asks) -> None:
    """An error that the dialect declares agrees, whatever its type."""
    seen = Observation(Dialect(statistics_gradient="refused"), outcomes={(1, "outcome"): Raised("RuntimeError", "no")})
    assert [("outcome", "agrees")] == list(verdicts(judge(ask(steps=LEAF), seen)).items())


def test_an_answer_in_place_of_a_refusal_differs(ask: Asks) -> None:
    """Where the dialect declares an error, an answer is not what was declared."""
    seen = Observation(Dialect(statistics_gradient="refused"), outcomes={(1, "drunning_mean"): np.zeros(3)})
    row = judge(ask(steps=LEAF), seen)[0]
    assert ("outcome", "differs") == (row.name, row.verdict)
    assert str(row.explanation).startswith("raised nothing, expected an error")


def test_a_refusal_in_place_of_an_answer_differs(ask: Asks) -> None:
    """Where the dialect declares a gradient, an error is not what was declared."""
    seen = Observation(Dialect(statistics_gradient="leaf"), outcomes={(1, "outcome"): Raised("RuntimeError", "no")})
    row = judge(ask(steps=LEAF), seen)[0]
    assert ("differs", "gradient of the statistics refused") == (row.verdict, row.variant)


GROUPS: dict[str, tuple[Any, str]] = {
    "zeros": (np.zeros(3), "constant"),
    "garbage": (np.full(3, 1e6), "finite, fits no option"),
    "NaN": (np.full(3, np.nan), "NaN, fits no option"),
    "shape": (np.zeros(4), "finite, fits no option"),
    "nothing": (None, "nothing"),
}


@pytest.mark.parametrize(("seen", "group"), GROUPS.values(), ids=GROUPS.keys())
def test_what_nobody_declared_is_open(ask: Asks, seen: Any, group: str) -> None:
    """An undeclared choice is not judged: the observation is shown with the option that it fits, if any."""
    outcomes = {} if seen is None else {(1, "drunning_mean"): seen}
    row = judge(ask(steps=LEAF), Observation(Dialect(), outcomes=outcomes))[0]
    assert ("drunning_mean", "open", group) == (row.name, row.verdict, row.open)


def test_an_open_observation_fits_a_leaf(ask: Asks, answer: Answers) -> None:
    """The oracle's gradient of the statistics fits the option `leaf`."""
    question = ask(steps=LEAF)
    seen = replace(answer(question, dialect=Dialect(statistics_gradient="leaf")), dialect=Dialect())
    assert "leaf" == judge(question, seen)[0].open


def test_an_error_that_nobody_declared_is_open(ask: Asks) -> None:
    """An error in a step of which a choice is undeclared is open too."""
    seen = Observation(Dialect(), outcomes={(1, "outcome"): Raised("RuntimeError", "no")})
    row = judge(ask(steps=LEAF), seen)[-1]
    assert ("outcome", "open", "RuntimeError") == (row.name, row.verdict, row.raises)


def test_the_worst_verdict_counts() -> None:
    """Of any two verdicts the one named first in the contract is the worse."""
    order: tuple[Verdict, ...] = (
        "void", "crashed", "differs", "changed", "deviates", "rough", "open", "unsupported", "agrees",
    )  # fmt: skip
    assert order == SEVERITY
    for place, one in enumerate(order):
        assert {one} == {worst([one, other]) for other in order[place:]}
    assert "agrees" == worst([])


def test_what_explaining_tried_is_not_kept(ask: Asks, answer: Answers) -> None:
    """A question that was explained keeps the predictions of its judgement only, not those of every variant."""
    question = ask()
    seen = replace(answer(question, "gamma ignored"), dialect=Dialect(running_variance="population"))
    kept = len(question._predictions)
    assert "differs" in verdicts(judge(question, seen)).values()
    assert len(question._predictions) <= kept + 2
