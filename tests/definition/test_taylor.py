"""Taylor numbers: known series, derivatives of what formulas use, and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from conformance.definition.taylor import Taylor, held

ORDER = 4


def at(start: float, *rest: float, order: int = ORDER) -> Taylor:
    values = [start, *rest, *[0.0] * (order - len(rest))]
    return Taylor([np.array([value]) for value in values])


def coefficients(f: Taylor) -> list[float]:
    return [float(one[0]) for one in f.coefficients]


SERIES = [
    pytest.param(lambda t: 1 / (1 - t), [1, 1, 1, 1, 1], id="geometric"),
    pytest.param(np.exp, [1, 1, 1 / 2, 1 / 6, 1 / 24], id="exponential"),
    pytest.param(lambda t: np.sqrt(1 + t), [1, 1 / 2, -1 / 8, 1 / 16, -5 / 128], id="square root"),
    pytest.param(lambda t: (1 + t) ** 3, [1, 3, 3, 1, 0], id="cube"),
    pytest.param(lambda t: (1 + t) ** -0.5, [1, -1 / 2, 3 / 8, -5 / 16, 35 / 128], id="inverse root"),
    pytest.param(lambda t: (1 + t) ** 0.5, [1, 1 / 2, -1 / 8, 1 / 16, -5 / 128], id="power of a half"),
    pytest.param(lambda t: np.square(t - 2), [4, -4, 1, 0, 0], id="square"),
    pytest.param(lambda t: -(t * t) + 3 - t / 2, [3, -0.5, -1, 0, 0], id="polynomial"),
    pytest.param(lambda t: np.abs(t - 1), [1, -1, 0, 0, 0], id="absolute value"),
    pytest.param(lambda t: np.maximum(t, 1 - t), [1, -1, 0, 0, 0], id="maximum"),
    pytest.param(lambda t: np.where(t < 1, t, 0), [0, 1, 0, 0, 0], id="where"),
]


@pytest.mark.parametrize(("function", "expected"), SERIES)
def test_a_function_has_its_series(function: Callable[[Any], Taylor], expected: list[float]) -> None:
    """A function of t has the coefficients of its series around 0."""
    np.testing.assert_allclose(coefficients(function(at(0.0, 1.0))), expected, rtol=1e-15, atol=1e-15)


COMPOSED = [
    pytest.param(lambda t: (t - 3) / (t * t + 2) ** 0.5, id="normalise"),
    pytest.param(lambda t: 1 / (1 + t * t) - t * t * t, id="quotient"),
    pytest.param(lambda t: 2 * (t + 0.25) ** 3 / (5 - t), id="cubic"),
]


@pytest.mark.parametrize("function", COMPOSED)
def test_derivatives_are_those_of_50_digits(function: Callable[[Any], Any]) -> None:
    """Every derivative of a composed function is the one that mpmath finds by differences in 50 digits."""
    start = 0.75
    found = function(at(start, 1.0))
    with mpmath.workdps(50):
        expected = [float(mpmath.diff(function, mpmath.mpf(start), k)) for k in range(ORDER + 1)]
    np.testing.assert_allclose([found.derivative(k)[0] for k in range(ORDER + 1)], expected, rtol=1e-13)


def test_derivative_is_coefficient_times_factorial() -> None:
    """The derivative of order k is k! times the coefficient of t^k."""
    f = at(1.0, 2.0, 3.0, 4.0, 5.0)
    assert [value * math.factorial(k) for k, value in enumerate([1, 2, 3, 4, 5])] == [
        float(f.derivative(k)[0]) for k in range(5)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_arithmetic_keeps_the_dtype(dtype: Any) -> None:
    """Constants of Python and arrays of the same dtype leave the dtype as it is."""
    f = Taylor.line(np.ones((2, 3), dtype), np.ones((2, 3), dtype), 2)
    results = [2 * f + 1, f / 3, np.sqrt(f), f**3, f.mean(axis=1, keepdims=True), np.ones((2, 1), dtype) / f]
    assert [np.dtype(dtype)] * len(results) == [result.dtype for result in results]
    assert np.dtype(dtype) == f.derivative(2).dtype


def test_reductions_and_shapes_go_coefficient_by_coefficient() -> None:
    """Sum, average, reshaping and broadcasting do to each coefficient what they do to an array."""
    parts = np.arange(12.0).reshape(2, 2, 3)
    f = Taylor(list(parts))
    np.testing.assert_array_equal(parts.sum(axis=2, keepdims=True), f.sum(axis=1, keepdims=True).coefficients)
    np.testing.assert_array_equal(parts.mean(axis=(1, 2)), f.mean().coefficients)
    np.testing.assert_array_equal(parts.reshape(2, 3, 2), f.reshape(3, 2).coefficients)
    assert (4, 2, 3) == np.broadcast_to(f, (4, 2, 3)).shape
    assert (2, 3) == (f + np.ones((2, 1))).shape


def test_held_is_the_value_without_its_dependence() -> None:
    """What is held constant is the value at t = 0; an array is itself."""
    values = np.array([1.0, 2.0])
    np.testing.assert_array_equal(values, held(Taylor.line(values, values, 2)))
    assert held(values) is values


@pytest.mark.parametrize("function", [np.sin, np.arctan2, np.add.reduce], ids=["sin", "arctan2", "reduce"])
def test_an_unknown_function_is_refused(function: Any) -> None:
    """A function without a rule raises: no derivative is ever silently left out."""
    arguments = (at(0.0, 1.0),) * getattr(function, "nin", 1)
    with pytest.raises(TypeError):
        function(*arguments)
