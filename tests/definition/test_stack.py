"""Networks as formulas: the error function, GELU, and derivatives of a stack against differences."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case, Network, Step
from conformance.corpus.inputs import generate
from conformance.definition.dialect import Dialect
from conformance.definition.gelu import erf, gelu, gelu_slope
from conformance.definition.network import _Run
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


def test_the_error_function_is_as_precise_as_a_long_double() -> None:
    """Between two nodes of its table, where the series is cut off, it is that of 50-digit arithmetic."""
    mpmath = pytest.importorskip("mpmath")
    points = np.array([0.0078, 0.0079, 0.5234, 1.4921, 4.0077, 6.5921])
    with mpmath.workdps(50):
        exact = [mpmath.erf(mpmath.mpf(float(z))) for z in points]
        found = [mpmath.mpf(str(one)) for one in erf(points.astype(np.longdouble))]
        worst = max(abs(one / other - 1) for one, other in zip(found, exact, strict=True))
    assert float(worst) < 20 * float(np.finfo(np.longdouble).eps)
    assert np.array_equal([np.nan, 1, -1, 0], erf(np.array([np.nan, np.inf, -np.inf, 0.0])), equal_nan=True)


def test_training_again_on_a_batch_moves_the_states_alone(stack: tuple[Stack, Any, dict[str, Any]]) -> None:
    """The statistics of a batch do not depend on the states: updating by them is what another forward does."""
    made, states, rows = stack
    done = made.forward(rows["x:a"], "train", states)
    again = made.forward(rows["x:a"], "train", done.states).states
    for one, other in zip(again, made.moved(done.batches, done.states, "train"), strict=True):
        np.testing.assert_array_equal(one.mean, other.mean)
        np.testing.assert_array_equal(one.var, other.var)


@pytest.mark.parametrize("rule", ["once", "twice"])
def test_converging_by_updates_alone_is_converging_by_forwards(
    rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The curve of a network is the same where every training forward is done in full."""
    made = case(Step(converge="a", times=4, every=2))
    arrays, rules = generate(made), Rules(updates=rule)
    short = simulate(made, arrays, rules)[1, "mse"]
    monkeypatch.setattr(_Run, "again", lambda run, label, trained: run.forward(label, "train"))
    whole = simulate(made, arrays, rules)[1, "mse"]
    assert isinstance(short, Expected)
    assert isinstance(whole, Expected)
    np.testing.assert_allclose(whole.value, short.value, rtol=1e-17)


def test_bounds_of_float64_are_those_of_float32_scaled() -> None:
    """What a rounding moves is in proportion to it: a bound is as many roundings in either dtype."""
    ratios = []
    for dtype, unit in (("float32", 2.0**-24), ("float64", 2.0**-53)):
        made = msgspec.structs.replace(case(Step(train="a")), dtype=dtype)
        expected = simulate(made, generate(made), Rules())[1, "y"]
        assert isinstance(expected, Expected)
        ratios.append(np.median(expected.tight) / unit)
    assert ratios[0] == pytest.approx(ratios[1], rel=0.5)


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


def test_derivatives_where_train_normalises_with_updated_statistics() -> None:
    """Gradient and Hessian are slopes there, too: a part of the statistics is that of the batch."""
    made = case(Step(train="a", hvp=("x",)))
    arrays, rules = generate(made), Rules(dialect=Dialect(train_statistics="updated"))
    stack, states = Stack.of(made.layer, NETWORK, arrays, np.float64, rules), Stack.start(NETWORK, arrays, np.float64)
    x, dy, v = (arrays[name].T for name in ("x:a", "dy:1", "v_x:1"))

    def forward(t: float) -> Any:
        return stack.forward(x + t * v, "train", states)

    slope = float(((forward(1e-5).y - forward(-1e-5).y) * dy).sum()) / 2e-5
    assert float((stack.gradient(forward(0), dy) * v).sum()) == pytest.approx(slope, rel=1e-7)
    curvature = (stack.gradient(forward(1e-5), dy) - stack.gradient(forward(-1e-5), dy)) / 2e-5
    np.testing.assert_allclose(stack.hessian(x, "train", states, dy, v), curvature, rtol=1e-5, atol=1e-7)


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
