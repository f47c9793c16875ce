"""Predictions are shared by all rules that answer alike what a case asks about, and by no others."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case, Step
from conformance.corpus.load import load_corpus
from conformance.definition.consulted import Consulted
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected, Prediction
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate
from conformance.definition.variants import VARIANTS
from conformance.verdict.oracle import Question

DECLARED = Dialect(
    statistics_gradient="leaf", update_gradient="differentiable", recomputation="again", frozen="A", untracked="batch",
    state_dtype="float32", exported="running",
)  # fmt: skip
_PREDICTED = [case for case in load_corpus() if case.network is None and not case.open and not case.tags]
#: Of each area of the definition the case that has the shortest text, of those that take no time to predict.
CASES = {
    case.clauses[0].partition(".")[0]: case
    for case in sorted(_PREDICTED, key=lambda case: -len(repr(case)))
    if len(case.shape) < 8 and len(case.program) < 4
    and not any(step.differentiates or step.converge for step in case.steps)
}


@pytest.mark.parametrize("case", CASES.values(), ids=[case.id for case in CASES.values()])
def test_what_is_shared_is_what_would_be_predicted(case: Case) -> None:
    """Under every variant a question answers bit for bit as the oracle does that is asked anew."""
    question = Question(case)
    for base in (Rules(), Rules(dialect=DECLARED)):
        for variant in VARIANTS.values():
            rules = variant.applied_to(base)
            assert _bits(simulate(case, question.arrays, rules)) == _bits(question.predict(rules)), variant.name


def test_one_prediction_for_what_is_not_asked_about() -> None:
    """A case without a frozen layer is predicted once for all options of freezing, and again for an estimator."""
    question = Question(CASES["3"])
    first, second = (question.predict(Rules(dialect=Dialect(frozen=option))) for option in ("A", "C"))
    assert first is second
    assert first is not question.predict(Rules(dialect=Dialect(running_variance="population")))


def test_a_state_that_nobody_looks_at_is_not_moved() -> None:
    """Where a step is asked for its output alone, all estimators of the running variance share a prediction."""
    asked = msgspec.structs.replace(CASES["1"], steps=(Step(train="a", observe=("y",)),), repeat=1, inputs={})
    question = Question(asked)
    sample, population = (Rules(dialect=Dialect(running_variance=one)) for one in ("sample", "population"))
    assert question.predict(sample) is question.predict(population)
    looked_at = Question(msgspec.structs.replace(asked, steps=(Step(train="a"),)))
    assert looked_at.predict(sample) is not looked_at.predict(population)


def test_decisions_are_noted_once_and_in_order() -> None:
    """What is looked at again is not noted again; the dialect's choices are told by their path."""
    noted: list[tuple[str, str]] = []
    rules = Consulted(Rules(dialect=Dialect(frozen="B")), noted).rules
    assert ("inside", "B", "inside") == (rules.epsilon, rules.dialect.frozen, rules.epsilon)
    assert [("epsilon", "inside"), ("dialect.frozen", "B")] == noted


def _bits(prediction: Prediction) -> list[object]:
    """Return everything that a prediction says, arrays as bytes."""
    return [(key, *map(_bytes, vars(one).values())) if isinstance(one, Expected) else (key, one)
            for key, one in prediction.items()]  # fmt: skip


def _bytes(value: object) -> object:
    # Of a long double some bytes mean nothing.
    return (value.shape, str(value.dtype), value.tolist().__repr__()) if isinstance(value, np.ndarray) else value
