"""Random rounding: what errs, by how much, and that it is the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.definition.noise import Noisy, Source
from conformance.definition.taylor import Taylor

UNIT = 2.0**-24


def noisy(values: Any) -> Noisy:
    return Source(UNIT).noisy(np.asarray(values, dtype=np.float64))


ERRING = [
    pytest.param(lambda x: x + 1, 1, id="add"),
    pytest.param(lambda x: x * x, 1, id="multiply"),
    pytest.param(lambda x: 1 / x, 1, id="divide"),
    pytest.param(np.sqrt, 1, id="square root"),
    pytest.param(lambda x: x.sum(axis=1, keepdims=True), 1, id="sum"),
    pytest.param(lambda x: x.mean(axis=1, keepdims=True), 2, id="average"),
]


@pytest.mark.parametrize(("function", "roundings"), ERRING)
def test_an_operation_errs_by_one_rounding(function: Any, roundings: int) -> None:
    """The result of an operation is off by one unit up or down for each rounding, some each way."""
    x = noisy(np.linspace(1, 2, 64 * 3).reshape(64, 3))
    exact = function(np.asarray(x))
    relative = np.asarray(function(x)) / exact - 1
    assert np.abs(relative).max() <= 1.001 * roundings * UNIT
    assert relative.min() < 0 < relative.max()


@pytest.mark.parametrize("function", [np.negative, np.abs, lambda x: np.maximum(x, 1.5)], ids=["-", "abs", "max"])
def test_an_exact_operation_does_not_err(function: Any) -> None:
    """What is exact in floating point stays exact, and still errs afterwards."""
    x = noisy(np.linspace(-2, 2, 9))
    done = function(x)
    np.testing.assert_array_equal(function(np.asarray(x)), np.asarray(done))
    assert isinstance(done, Noisy)
    assert done.source is x.source


def test_comparisons_give_plain_booleans() -> None:
    """A comparison gives booleans, which do not err."""
    assert (noisy([1.0, 3.0]) > 2).tolist() == [False, True]


def test_noise_is_the_same_every_time() -> None:
    """Two evaluations from new sources err alike, bit for bit."""
    one, other = (noisy(np.linspace(1, 2, 50)) * 3 for _ in range(2))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_coefficients_of_taylor_numbers_err() -> None:
    """A Taylor number of noisy arrays errs in its derivatives as in its value, a constant zero apart."""
    x = noisy(np.linspace(1, 2, 50))
    f = np.sqrt(Taylor.line(x, noisy(np.ones(50)), 2))
    exact = np.asarray(x) ** -0.5 / 2
    relative = np.asarray(f.derivative(1)) / exact - 1
    assert 0 < np.abs(relative).max() < 10 * UNIT
    np.testing.assert_array_equal(0, np.asarray(Taylor.line(x, None, 1).derivative(1)))
