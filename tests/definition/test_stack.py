"""Networks as formulas: the error function, GELU, and derivatives of a stack against differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from conformance.corpus.case import Case, Network, Step
from conformance.corpus.inputs import generate
from conformance.definition.gelu import erf, gelu, gelu_slope
from conformance.definition.noise import Source
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate
from conformance.definition.stack import Stack
from conformance.definition.taylor import Taylor

NETWORK = Network(blocks=2, width=4, outputs=3)
POINTS = np.array([-9.0, -3.2, -0.5, 0.0, 1e-9, 0.3, 2.5, 6.5, 40.0])


def case(*steps: Step) -> Case:
    fields: dict[str, Any] = {"shape": "7x3", "dtype": "float64", "state": "initial", "network": NETWORK}
    return Case(id="file/name", fact="X is Y.", clauses=("21.7",), steps=steps, **fields)


@pytest.fixture
def stack() -> tuple[Stack, Any, dict[str, Any]]:
    """Return a stack, its states, and the arrays of a case, in rows."""
    made = case(Step(train="a", hvp=("x",)))
    arrays = generate(made)
    rules = Rules()
    rows = {name: arrays[name].T for name in ("x:a", "dy:1", "v_x:1")}
    return Stack.of(made.layer, NETWORK, arrays, np.float64, rules), Stack.start(NETWORK, arrays, np.float64), rows


def test_the_error_function_is_that_of_the_standard_library() -> None:
    """The series gives what `math.erf` gives, to a few units in the last place, for large arguments too."""
    np.testing.assert_allclose([math.erf(z) for z in POINTS], erf(POINTS), rtol=2e-15)


def test_the_error_function_keeps_its_dtype() -> None:
    """A float32 argument gives a float32 answer, a long double a long double."""
    for dtype in (np.float32, np.float64, np.longdouble):
        assert erf(POINTS.astype(dtype)).dtype == dtype


def test_the_slope_of_gelu_is_its_derivative() -> None:
    """The slope is what the Taylor series of GELU has as its first derivative, and its derivative the second."""
    z = np.linspace(-4, 4, 17)
    line = Taylor.line(z, np.ones_like(z), 2)
    np.testing.assert_allclose(gelu_slope(z), gelu(line).derivative(1), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gelu_slope(line).derivative(1), gelu(line).derivative(2), rtol=1e-11, atol=1e-14)


def test_the_error_function_of_a_noisy_array_is_one_operation() -> None:
    """Each value is off by about one rounding, not by one for each term of the series."""
    z = np.linspace(0.2, 2, 50)
    noisy = Source(2.0**-20).noisy(z)
    relative = np.abs(np.asarray(erf(noisy)) / erf(np.asarray(noisy)) - 1)
    np.testing.assert_allclose(2.0**-20, relative, rtol=1e-6)


@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_the_gradient_is_that_of_differences(stack: tuple[Stack, Any, dict[str, Any]], mode: str) -> None:
    """The gradient in the input is the slope of sum(y * dy) along any direction."""
    made, states, rows = stack
    x, dy, v = rows["x:a"], rows["dy:1"], rows["v_x:1"]

    def loss(t: float) -> float:
        return float((made.forward(x + t * v, mode, states).y * dy).sum())

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert float((made.gradient(made.forward(x, mode, states), dy) * v).sum()) == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_the_hessian_is_that_of_differences(stack: tuple[Stack, Any, dict[str, Any]], mode: str) -> None:
    """The Hessian along a direction is the difference of two gradients."""
    made, states, rows = stack
    x, dy, v = rows["x:a"], rows["dy:1"], rows["v_x:1"]
    either = [made.gradient(made.forward(x + t * v, mode, states), dy) for t in (1e-5, -1e-5)]
    slope = (either[0] - either[1]) / 2e-5
    np.testing.assert_allclose(slope, made.hessian(x, mode, states, dy, v), rtol=1e-5, atol=1e-7)


def test_the_coded_second_derivative_vanishes_in_train() -> None:
    """Along a shift of all inputs gradient and Hessian are zero to rounding in train; in evaluate they are not."""
    steps = Step(train="a", hvp=("x",), dy="ones", direction="ones"), Step(
        evaluate="a", hvp=("x",), dy="ones", direction="ones"
    )
    made = case(*steps)
    prediction = simulate(made, generate(made), Rules())
    train, evaluate = (prediction[number, "hvp_x"] for number in (1, 2))
    assert isinstance(train, Expected)
    assert isinstance(evaluate, Expected)
    assert np.abs(train.value).max() < 1e-15
    assert np.abs(evaluate.value).max() > 1e-2
    assert (np.abs(train.value) <= train.tight).all()


def test_measured_bounds_are_of_the_size_of_rounding() -> None:
    """The bound of an output is some hundred roundings, neither none nor everything."""
    made = case(Step(train="a"))
    expected = simulate(made, generate(made), Rules())[1, "y"]
    assert isinstance(expected, Expected)
    assert 1e-16 < expected.tight.min() < expected.tight.max() < 1e-12
