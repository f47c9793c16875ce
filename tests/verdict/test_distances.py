"""Distances of outputs: what the suite works out of what was observed."""

from __future__ import annotations

import numpy as np

from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect
from conformance.host.observation import Observation, Raised
from conformance.verdict.distances import with_distances
from conformance.verdict.oracle import Question

STEPS = (Step(train="a", name="trained", target="t"), Step(evaluate="a", against="trained"))
QUESTION = Question(Case(id="file/name", fact="X is Y.", clauses=("21.1",), steps=STEPS, shape="5x3"))
Y = np.ones((5, 3), np.float32)


def distances(**outputs: object) -> dict[tuple[int, str], object]:
    outcomes = {(int(name[1:]), "y"): value for name, value in outputs.items()}
    seen = with_distances(QUESTION, Observation(Dialect(), outcomes=outcomes))  # type: ignore[arg-type]
    return {key: value for key, value in seen.outcomes.items() if key[1] in ("mse", "loss")}


def test_distances_are_averages_of_squares_in_float64() -> None:
    """Distance and loss are averages over all elements, of shape (1,), taken in float64."""
    found = distances(y1=Y, y2=Y + 2)
    loss = np.mean((Y.astype(np.float64) - QUESTION.arrays["x:t"]) ** 2)
    np.testing.assert_array_equal([4.0], found[2, "mse"], strict=True)  # type: ignore[arg-type]
    np.testing.assert_array_equal([loss], found[1, "loss"], strict=True)  # type: ignore[arg-type]


def test_a_missing_output_has_no_distance() -> None:
    """Where one of the outputs raised or is missing, nothing is made up."""
    assert {(1, "loss")} == distances(y1=Y).keys()
    assert set() == distances(y1=Raised("ValueError", "no"), y2=Y).keys()


def test_an_output_of_another_shape_has_no_distance() -> None:
    """Outputs of different shapes are not broadcast against each other."""
    assert {(1, "loss")} == distances(y1=Y, y2=Y[:1]).keys()
