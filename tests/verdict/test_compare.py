"""Arrays are compared by shape, dtype and then values; NaN and infinity fit nothing but themselves."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.definition.prediction import Expected
from conformance.verdict.compare import Comparison, Mismatch, apart, compare, distance, widened

NAN, INF = np.nan, np.inf


def expected(*values: float, tight: float = 1.0, plain: float = 2.0, dtype: str = "float64") -> Expected:
    array = np.array(values)
    return Expected(array, np.full(array.shape, tight), np.full(array.shape, plain), dtype)


def compared(observed: float, prediction: Expected) -> Comparison:
    seen = compare(np.array([observed]), prediction)
    assert isinstance(seen, Comparison)
    return seen


# observed, expected, bound: inside?
EXTREMES = [
    (NAN, NAN, 1.0, True),
    (NAN, NAN, NAN, True),
    (NAN, 0.0, 1.0, False),
    (NAN, 0.0, INF, False),
    (0.0, NAN, 1.0, False),
    (0.0, NAN, NAN, False),
    (INF, INF, 1.0, True),
    (INF, INF, INF, True),
    (INF, INF, NAN, True),
    (-INF, INF, INF, False),
    (-INF, INF, NAN, True),
    (NAN, INF, NAN, True),
    (INF, NAN, NAN, True),
    (INF, 0.0, NAN, False),
    (NAN, INF, INF, False),
    (INF, 0.0, INF, False),
    (0.0, INF, INF, False),
    (0.0, -0.0, 0.0, True),
    (1e-300, 0.0, 0.0, False),
]


@pytest.mark.parametrize(("observed", "value", "bound", "inside"), EXTREMES, ids=[str(row) for row in EXTREMES])
def test_extremes(observed: float, value: float, bound: float, inside: bool) -> None:
    """A NaN equals a NaN and an infinity itself; no bound excuses them elsewhere, and none forbids them there."""
    seen = compared(observed, expected(value, tight=bound, plain=bound))
    assert (inside, inside) == (seen.tight, seen.plain)
    assert inside == (seen.ratio[0] <= 1)


def test_shape_comes_first() -> None:
    """A wrong shape is told even where the dtype is wrong too, and values are not looked at."""
    seen = compare(np.zeros(3, np.float32), expected(0.0, 0.0))
    assert Mismatch("shape (3,), expected (2,)") == seen


def test_shapes_are_not_broadcast() -> None:
    """One value for many is a wrong shape, not a match."""
    assert isinstance(compare(np.zeros(()), expected(0.0, 0.0)), Mismatch)


def test_dtype_comes_before_values() -> None:
    """A wrong dtype is told although the values are right."""
    assert Mismatch("dtype float32, expected float64") == compare(np.zeros(1, np.float32), expected(0.0))


def test_an_error_at_the_bound_is_inside() -> None:
    """The bound belongs to the interval; the ratio is the error over the tight one."""
    assert compared(1.0, expected(0.0)).tight
    assert 2.0 == compared(2.0, expected(0.0)).ratio[0]
    assert compared(2.0, expected(0.0)).plain


def test_the_worst_element_is_one_that_decides() -> None:
    """An element outside its plain bound is worse than one of larger ratio inside its own."""
    prediction = Expected(np.zeros(2), np.array([0.1, 1.0]), np.array([100.0, 2.0]), "float64")
    seen = compare(np.array([50.0, 3.0]), prediction)
    assert isinstance(seen, Comparison)
    assert seen.ratio[0] > seen.ratio[1]
    assert (1,) == seen.worst


# one, other: apart?
PAIRS = [
    (expected(0.0), expected(4.0), False),
    (expected(0.0), expected(4.1), True),
    (expected(0.0, 0.0), expected(0.0, 9.0), True),
    (expected(0.0, 0.0), expected(0.0), True),
    (expected(0.0), expected(0.0, dtype="float32"), True),
    (expected(NAN), expected(NAN, tight=NAN, plain=NAN), False),
    (expected(INF), expected(INF, tight=INF, plain=INF), False),
    (expected(NAN), expected(0.0, plain=INF), True),
]


@pytest.mark.parametrize(
    ("one", "other", "different"), PAIRS,
    ids=["at the bounds", "beyond the bounds", "in one element", "shape", "dtype", "NaN", "infinity", "NaN and number"],
)  # fmt: skip
def test_apart(one: Expected, other: Expected, different: bool) -> None:
    """Predictions are apart beyond the sum of their plain bounds, whichever comes first."""
    assert (different, different) == (apart(one, other), apart(other, one))


def test_widened() -> None:
    """A prediction that allows more than twice the rounding is the wider one; the reverse is not."""
    narrow, wide = expected(0.0), expected(0.0, plain=4.1)
    assert (True, False) == (widened(narrow, wide), widened(wide, narrow))
    assert not widened(narrow, expected(0.0, plain=4.0))


def test_distance_is_told_in_bounds_of_another_prediction() -> None:
    """The distance of a vague prediction counts in the unit given, and a wrong shape is infinitely far."""
    assert 6.0 == distance(expected(0.0, tight=100.0), np.array([3.0]), np.array([0.5]))
    assert INF == distance(expected(0.0), np.zeros(2), np.array([0.5]))


@pytest.mark.parametrize("observed", [NAN, INF, -INF])
def test_what_is_no_number_fits_where_it_is_foreseen(observed: float) -> None:
    """Where rounding may leave no number, none is as expected; beside it, it is not."""
    prediction = Expected(
        np.zeros(2), np.full(2, 1.0), np.array([INF, 2.0]), "float64", undefined=np.array([True, False])
    )
    first, second = (compare(np.array(seen), prediction) for seen in ((observed, 0.0), (0.0, observed)))
    assert isinstance(first, Comparison)
    assert isinstance(second, Comparison)
    assert first.plain
    assert not second.plain
