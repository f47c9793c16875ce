"""The formulas against numbers worked out by hand, for the batch 1, 3, 5 of one channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected, Prediction, Refused, Undetermined
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate

# mean 3, population variance 8/3, sample variance 4; epsilon 1/3 makes s the root of 3.
X = np.array([[1.0], [3.0], [5.0]])
DY = np.array([[1.0], [0.0], [0.0]])
EPSILON = 1 / 3
ROOT = np.sqrt(3.0)
#: A momentum of 0.1 and 1 minus it, each rounded to float32.
WEIGHT, KEPT = float(np.float32(0.1)), float(np.float32(0.9))


def predict(
    *steps: Step, rules: Rules | None = None, dtype: Any = "float64", dy: float = 1.0, **changes: Any
) -> Prediction:
    """Predict steps on the batch 1, 3, 5, the state starting at 0 and 1, gamma 2 and beta 0.5."""
    case = Case(id="test/probe", fact="", clauses=("1.1",), steps=steps, shape="3x1", dtype=dtype, epsilon=EPSILON,
                param_dtype="float32" if dtype != "float64" else "float64", **changes)  # fmt: skip
    number = np.dtype("float64") if dtype == "float64" else np.dtype("float32")
    arrays = {"x:a": X.astype(number), "gamma": np.array([2.0], number), "beta": np.array([0.5], number),
              "running_mean": np.zeros(1, number), "running_var": np.ones(1, number)}  # fmt: skip
    arrays |= {f"dy:{k}": (dy * DY).astype(number) for k in range(1, len(case.program) + 1)}
    return simulate(case, arrays, Rules() if rules is None else rules)


def value(prediction: Prediction, step: int, name: str) -> Any:
    expected = prediction[step, name]
    assert isinstance(expected, Expected)
    return expected.value.astype(np.float64)


TRAIN = Step(train="a", gradients=("x", "gamma", "beta"))
EVALUATE = Step(evaluate="a", gradients=("x", "gamma", "beta", "running_mean", "running_var"))


def test_train_output() -> None:
    """The output of a train is gamma * (x - 3) / sqrt(8/3 + epsilon) + beta."""
    np.testing.assert_allclose(2 * (X - 3) / ROOT + 0.5, value(predict(TRAIN), 1, "y"), rtol=1e-15)


@pytest.mark.parametrize(
    ("changes", "mean", "var"),
    [
        ({}, 0.3, 1.3),
        ({"running_variance": "population"}, 0.3, 0.9 + 0.8 / 3),
        ({"running_variance": "over-n-1-epsilon"}, 0.3, 0.9 + 0.1 * (8 / 3) * 3 / (2 - EPSILON)),
        ({"running_variance": "sample-over-n-1-epsilon"}, 0.3, 0.9 + 0.1 * 4 * 3 / (2 - EPSILON)),
        ({"momentum": "old"}, 2.7, 3.7),
        ({"constants": "float32"}, 3 * (1 - KEPT), KEPT + 4 * (1 - KEPT)),
        ({"constants": "float32 both"}, 3 * WEIGHT, KEPT + 4 * WEIGHT),
        ({"first_update": "replace"}, 3.0, 4.0),
        ({"first_update": "debias"}, 3.0, 4.0),
    ],
    ids=["sample", "population", "over n-1-epsilon", "sample over n-1-epsilon", "old", "float32", "float32 both",
         "replace", "debias"],
)  # fmt: skip
def test_state_after_one_update(changes: dict[str, Any], mean: float, var: float) -> None:
    """Each option of the update leaves the state that its sentence says."""
    prediction = predict(TRAIN, rules=Rules(dialect=Dialect(**changes)))
    np.testing.assert_allclose([mean], value(prediction, 1, "running_mean"), rtol=1e-15)
    np.testing.assert_allclose([var], value(prediction, 1, "running_var"), rtol=1e-15)


def test_debias_divides_the_average_from_nothing() -> None:
    """Debiasing gives the batch itself after any number of equal batches."""
    prediction = predict(TRAIN, TRAIN, TRAIN, rules=Rules(dialect=Dialect(first_update="debias")))
    np.testing.assert_allclose([3.0], value(prediction, 3, "running_mean"), rtol=1e-15)


def test_train_gradients() -> None:
    """Gradients in train are those of the chain rule, worked out for dy = (1, 0, 0)."""
    # xhat = (-2, 0, 2) / sqrt 3; avg(dy) = 1/3; avg(dy xhat) = -2 / (3 sqrt 3).
    dx = 2 / ROOT * np.array([[1 - 1 / 3 - 4 / 9], [-1 / 3], [-1 / 3 + 4 / 9]])
    prediction = predict(TRAIN)
    np.testing.assert_allclose(dx, value(prediction, 1, "dx"), rtol=1e-14)
    np.testing.assert_allclose([-2 / ROOT], value(prediction, 1, "dgamma"), rtol=1e-15)
    np.testing.assert_allclose([1.0], value(prediction, 1, "dbeta"), rtol=1e-15)


def test_train_gradient_sums_to_zero() -> None:
    """The gradient of the input in train sums to zero: shifting a batch changes nothing."""
    assert abs(value(predict(TRAIN), 1, "dx").sum()) < 1e-15


def test_evaluate() -> None:
    """Evaluate is linear in x, with the state before it: mean 0, variance 1, s = sqrt(4/3)."""
    root = np.sqrt(4 / 3)
    prediction = predict(EVALUATE, rules=Rules(dialect=Dialect(statistics_gradient="leaf")))
    np.testing.assert_allclose(2 * X / root + 0.5, value(prediction, 1, "y"), rtol=1e-15)
    np.testing.assert_allclose(2 / root * DY, value(prediction, 1, "dx"), rtol=1e-15)
    np.testing.assert_allclose([1 / root], value(prediction, 1, "dgamma"), rtol=1e-15)
    np.testing.assert_allclose([-2 / root], value(prediction, 1, "drunning_mean"), rtol=1e-15)
    np.testing.assert_allclose([-1 / root**3], value(prediction, 1, "drunning_var"), rtol=1e-15)
    np.testing.assert_array_equal([0.0], value(prediction, 1, "running_mean"))


@pytest.mark.parametrize(
    ("option", "kind"), [("undeclared", Undetermined), ("refused", Refused)], ids=["undeclared", "refused"]
)
def test_statistics_gradient_without_a_value(option: Any, kind: type) -> None:
    """A choice that nobody declared predicts nothing, one that refuses an error."""
    prediction = predict(EVALUATE, rules=Rules(dialect=Dialect(statistics_gradient=option)))
    assert isinstance(prediction[1, "outcome" if option == "refused" else "drunning_mean"], kind)


def test_long_double_for_float64() -> None:
    """A float64 case is computed in long double, any other in float64."""
    kinds = {}
    for dtype in ("float64", "float32"):
        expected = predict(TRAIN, dtype=dtype)[1, "y"]
        assert isinstance(expected, Expected)
        kinds[dtype] = expected.value.dtype
    assert {"float64": np.dtype(np.longdouble), "float32": np.dtype(np.float64)} == kinds


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_shapes_dtypes_and_bounds(dtype: str) -> None:
    """Predictions have the shapes and dtypes of the contract, and no tight bound is wider than its plain one."""
    wide = "float64" if dtype == "float64" else "float32"
    expected = {"y": ((3, 1), dtype), "dx": ((3, 1), dtype), "dgamma": ((1,), wide), "dbeta": ((1,), wide),
                "running_mean": ((1,), wide), "running_var": ((1,), wide)}  # fmt: skip
    prediction = {name: found for (_, name), found in predict(TRAIN, dtype=dtype).items()}
    assert expected == {name: (found.value.shape, found.dtype) for name, found in prediction.items()}
    for found in prediction.values():
        assert (found.tight <= found.plain).all()
        assert (found.tight > 0).all()


def test_beyond_the_range_of_a_dtype() -> None:
    """What float16 cannot hold is expected to be infinite: 2 / sqrt(4/3) * 6e4."""
    dx = value(predict(EVALUATE, dtype="float16", dy=6e4), 1, "dx")
    np.testing.assert_array_equal([[np.inf], [0.0], [0.0]], dx)
