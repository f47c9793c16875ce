"""States put back and averaged, and the distance of evaluate from train, against formulas written out here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.corpus.case import Case, Inputs, Step
from conformance.corpus.inputs import generate
from conformance.definition.convergence import mean_square_distance
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected, Key, Prediction
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate

ESTIMATORS = {"population": 1.0, "sample": 64 / 63}


def case(*steps: Step, **fields: Any) -> Case:
    return Case(id="file/name", fact="X is Y.", clauses=("21.1",), steps=steps, **{"dtype": "float64", **fields})


def predicted(made: Case, **dialect: Any) -> Prediction:
    return simulate(made, generate(made), Rules(dialect=Dialect(**dialect)))


def value(prediction: Prediction, key: Key) -> Any:
    expected = prediction[key]
    assert isinstance(expected, Expected)
    return expected.value


def q(variance: Any, epsilon: float) -> Any:
    return 1 / np.sqrt(variance + epsilon)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_the_curve_follows_its_formula(estimator: str, momentum: float) -> None:
    """At every k the distance is that of the exact formula, with `r = (1 - momentum)^k`."""
    made = case(Step(converge="a", times=20), shape="64x5", momentum=momentum)
    arrays = generate(made)
    mean, var = arrays["x:a"].mean(axis=0), arrays["x:a"].var(axis=0)
    r = (1 - momentum) ** np.arange(21)[:, None]
    centre = r * (arrays["running_mean"] - mean)
    spread = r * arrays["running_var"] + (1 - r) * ESTIMATORS[estimator] * var
    scale = var * (q(spread, made.epsilon) - q(var, made.epsilon)) ** 2
    formula = (arrays["gamma"] ** 2 * (scale + centre**2 * q(spread, made.epsilon) ** 2)).mean(axis=1)
    np.testing.assert_allclose(
        formula, value(predicted(made, running_variance=estimator), (1, "mse")).astype(float), rtol=1e-9, atol=1e-25
    )


def test_the_floor_of_the_sample_variance() -> None:
    """With n / (n - 1) the distance ends near gamma^2 / (4 n^2); without it, at zero."""
    made = case(Step(converge="a", times=200), shape="64x5", momentum=0.3, epsilon=1e-9, gamma="ones")
    ends = {name: float(value(predicted(made, running_variance=name), (1, "mse"))[-1]) for name in ESTIMATORS}
    assert ends["sample"] == pytest.approx(1 / (4 * 64**2), rel=0.05)
    assert ends["population"] < 1e-30


def test_the_series_is_what_single_steps_give() -> None:
    """Every so many steps of a convergence are the same calls written out."""
    single = case(
        Step(evaluate="a", name="start"), Step(train="a", name="trained"), Step(train="a"),
        Step(evaluate="a", against="trained"), shape="5x3",
    )  # fmt: skip
    series = case(Step(converge="a", times=2, every=2), shape="5x3")
    one, other = predicted(single), predicted(series)
    assert value(one, (4, "mse"))[0] == value(other, (1, "mse"))[1]
    np.testing.assert_array_equal(value(one, (4, "running_var")), value(other, (1, "running_var")))


def test_a_state_put_back_is_that_state() -> None:
    """What is restored is known exactly as well as when it was saved."""
    steps = Step(save="start"), Step(train="a"), Step(restore="start")
    prediction = predicted(case(*steps, shape="5x3"))
    arrays = generate(case(*steps, shape="5x3"))
    restored = prediction[3, "running_var"]
    assert isinstance(restored, Expected)
    np.testing.assert_array_equal(arrays["running_var"], restored.value.astype(float))
    assert not restored.tight.any()


def test_all_rows_and_the_average_of_two_states() -> None:
    """The variance of all rows is larger than the average of the two states by momentum D^2 / 4 (population)."""
    fields: dict[str, Any] = {"shape": "4x3", "momentum": 0.25}
    average = (
        Step(save="start"), Step(train="a"), Step(save="first"), Step(restore="start"), Step(train="b"),
        Step(save="second"), Step(average=("first", "second")),
    )  # fmt: skip
    joined = case(Step(train="both"), inputs={"both": Inputs(joined=("a", "b"), shape="8x3")}, **fields)
    arrays = generate(case(*average, **fields))
    distance = arrays["x:a"].mean(axis=0) - arrays["x:b"].mean(axis=0)
    of_all = predicted(joined, running_variance="population")
    of_two = predicted(case(*average, **fields), running_variance="population")
    gap = value(of_all, (1, "running_var")) - value(of_two, (7, "running_var"))
    np.testing.assert_allclose(0.25 * distance**2 / 4, gap.astype(float), rtol=1e-12)
    np.testing.assert_allclose(
        value(of_two, (7, "running_mean")).astype(float), value(of_all, (1, "running_mean")).astype(float), rtol=1e-13
    )


def test_the_bound_of_a_distance_covers_errors_of_both() -> None:
    """A distance d that errs by e has a square that errs by 2 d e + e^2, and no more."""
    one, other, error = np.full((1, 2, 3), 3.0), np.full((1, 2, 3), 1.0), np.full((2, 1, 2, 3), 1e-3)
    square, bound = mean_square_distance(one, other, error)
    assert square[0] == 4
    assert bound[0, 0] == pytest.approx(2 * 2 * 1e-3 + 1e-6, rel=1e-9)
    moved, _ = mean_square_distance(one + 1e-3, other, error)
    assert moved[0] - square[0] <= bound[0, 0]
