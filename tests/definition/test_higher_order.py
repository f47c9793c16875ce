"""Higher derivatives: closed forms, differences in 50 digits, bounds that honest work keeps and mistakes do not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest

from conformance.definition.batch_norm import Parameters, State
from conformance.definition.detached import gradient_of_gradient
from conformance.definition.higher_order import Point, Question, _call, derivatives, error_bounds
from conformance.definition.precision import precision_of
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS

C, N, EPSILON = 2, 5, 1e-3
RULES = Rules()
EVERYTHING = {"second": ("x", "gamma", "dy"), "third": True, "forward": (1, 2)}
MODES = pytest.mark.parametrize("mode", ["train", "evaluate"])


def problem(
    mode: str,
    *,
    n: int = N,
    channels: int = C,
    offset: float = 0.5,
    scale: float = 1.0,
    seed: int = 0,
    dtype: Any = float,
) -> tuple[Point, Question]:
    """Return a random point, and all derivatives along random directions."""
    random = np.random.default_rng((20150211, seed, n))

    def drawn(*shape: int) -> Any:
        return random.standard_normal(shape).astype(dtype)

    x, v = ((drawn(channels, n) + offset) * scale).astype(dtype), (drawn(channels, n) * scale).astype(dtype)
    state = State(
        (drawn(channels, 1) * scale).astype(dtype), ((0.5 + drawn(channels, 1) ** 2) * scale**2).astype(dtype)
    )
    point = Point(mode, (n, channels), x, drawn(channels, n) + dtype(0.25), Parameters(
        drawn(channels, 1), drawn(channels, 1), EPSILON), state, 0.1)  # fmt: skip
    return point, Question(**EVERYTHING, x=v, gamma=drawn(channels, 1), dy=drawn(channels, n))


def rows(vector: Any) -> Any:
    return [mpmath.mpf(float(value)) for value in vector]


def output_of_one_channel(point: Point, channel: int, x: list[Any], gamma: Any) -> list[Any]:
    """Return y of one channel in 50 digits, from the definition's first clauses and nothing else."""
    mean = mpmath.fsum(x) / len(x)
    var = mpmath.fsum((one - mean) ** 2 for one in x) / len(x)
    if point.mode == "evaluate":
        mean, var = mpmath.mpf(float(point.state.mean[channel, 0])), mpmath.mpf(float(point.state.var[channel, 0]))
    s, beta = mpmath.sqrt(var + mpmath.mpf(EPSILON)), mpmath.mpf(float(point.parameters.beta[channel, 0]))
    return [gamma * (one - mean) / s + beta for one in x]


def by_differences(point: Point, question: Question, channel: int) -> dict[str, list[float]]:
    """Return every derivative of one channel, by differences of ``sum(y * dy)`` in 50 digits."""
    x, dy, v, w = (rows(one[channel]) for one in (point.x, point.dy, question.x, question.dy))
    gamma, v_gamma = rows(point.parameters.gamma[channel])[0], rows(question.gamma[channel])[0]

    def y(t: Any, *, everything: bool = False, i: int | None = None, r: Any = 0, g: Any = 0) -> list[Any]:
        moved = [a + t * b + (r if i == j else 0) for j, (a, b) in enumerate(zip(x, v, strict=True))]
        return output_of_one_channel(point, channel, moved, gamma + g + (t * v_gamma if everything else 0))

    def loss(t: Any, r: Any, *, i: int | None, everything: bool, of_gamma: bool = False) -> Any:
        outputs = y(t, everything=everything, i=i, r=0 if of_gamma else r, g=r if of_gamma else 0)
        upstream = [a + (t * b if everything else 0) for a, b in zip(dy, w, strict=True)]
        return mpmath.fsum(a * b for a, b in zip(outputs, upstream, strict=True))

    def mixed(order: int, **which: Any) -> float:
        return float(mpmath.diff(partial(loss, **which), (0, 0), (order, 1)))

    def along(order: int, i: int, *, everything: bool) -> float:
        return float(mpmath.diff(lambda t: y(t, everything=everything)[i], 0, order))

    places = range(len(x))
    return {
        "hvp_x": [mixed(1, i=i, everything=True) for i in places],
        "hvp_gamma": [mixed(1, i=None, everything=True, of_gamma=True)],
        "hvp_dy": [along(1, i, everything=True) for i in places],
        "third_x": [mixed(2, i=i, everything=False) for i in places],
        "jvp_y": [along(1, i, everything=False) for i in places],
        "jvp2_y": [along(2, i, everything=False) for i in places],
    }


@MODES
@pytest.mark.parametrize("n", [2, 3, 5])
def test_derivatives_are_those_of_differences_in_50_digits(mode: str, n: int) -> None:
    """Each derivative is the one that differences of the forward in 50 digits have, none by formula."""
    point, question = problem(mode, n=n)
    found = derivatives(point, question, RULES)
    with mpmath.workdps(50):
        for channel in range(C):
            expected = by_differences(point, question, channel)
            assert expected.keys() == found.keys()
            for name, values in expected.items():
                np.testing.assert_allclose(values, found[name][channel], rtol=1e-11, atol=1e-11, err_msg=name)


def hessian(point: Point, channel: int) -> np.ndarray:
    """Return the Hessian in x in closed form, shape ``(n, n)``, P the centring matrix."""
    x, g, n = point.x[channel], point.dy[channel], point.x.shape[1]
    s = np.sqrt(x.var() + EPSILON)
    xhat, centring = (x - x.mean()) / s, np.eye(n) - 1 / n
    terms = np.outer(centring @ g, xhat) + np.outer(xhat, centring @ g) + (g @ xhat) * centring
    terms -= 3 / n * (g @ xhat) * np.outer(xhat, xhat)
    return np.asarray(-point.parameters.gamma[channel] / (n * s**2) * terms)


def columns(point: Point) -> np.ndarray:
    """Return the Hessian of every channel by its products with unit vectors, shape ``(C, n, n)``."""
    unit = np.eye(N)
    products = (
        derivatives(point, Question(second=("x",), x=np.tile(unit[i], (C, 1))), RULES)["hvp_x"] for i in range(N)
    )
    return np.stack(list(products), axis=2)


def test_the_hessian_in_train_is_the_closed_form() -> None:
    """In train the products with unit vectors are the columns of the closed form, which is symmetric."""
    point, _ = problem("train")
    found = columns(point)
    np.testing.assert_allclose([hessian(point, channel) for channel in range(C)], found, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), rtol=1e-12, atol=1e-13)


def test_the_rows_of_the_hessian_in_train_sum_to_zero() -> None:
    """In train a shift of the whole batch changes no gradient."""
    point, _ = problem("train")
    np.testing.assert_allclose(columns(point).sum(axis=2), 0, atol=1e-13)


def test_the_hessian_in_evaluate_is_zero() -> None:
    """In evaluate the output is linear in x: its second and third derivatives are exactly zero."""
    point, question = problem("evaluate")
    found = derivatives(point, Question(second=("x",), third=True, forward=(2,), x=question.x), RULES)
    assert ["hvp_x", "third_x", "jvp2_y"] == list(found)
    for values in found.values():
        np.testing.assert_array_equal(0, values)


def test_the_mixed_derivatives_in_evaluate_are_those_of_a_linear_transform() -> None:
    """In evaluate ``d(dx) = (v_gamma dy + gamma v_dy) / s``."""
    point, question = problem("evaluate")
    s = np.sqrt(point.state.var + EPSILON)
    expected = (question.gamma * point.dy + point.parameters.gamma * question.dy) / s
    np.testing.assert_allclose(expected, derivatives(point, question, RULES)["hvp_x"], rtol=1e-14)


def single_precision() -> Any:
    return precision_of("float32").with_rounding_of(precision_of("float64"))


def widened(point: Point, question: Question) -> tuple[Point, Question]:
    """Return the same numbers in float64."""

    def wide(values: Any) -> Any:
        return values.astype(np.float64)

    p, s = point.parameters, point.state
    return (
        replace(point, x=wide(point.x), dy=wide(point.dy), state=State(wide(s.mean), wide(s.var)),
                parameters=Parameters(wide(p.gamma), wide(p.beta), p.epsilon)),
        replace(question, x=wide(question.x), gamma=wide(question.gamma), dy=wide(question.dy)),
    )  # fmt: skip


def worst(
    point: Point, question: Question, observed: dict[str, Any], growth: int, rules: Rules = RULES
) -> dict[str, float]:
    """Return the worst error over bound of what was observed, by quantity: growth 0 is tight, 1 is plain."""
    exact_state = np.zeros((2, len(point.x), 1))
    bounds = error_bounds(point, question, rules, single_precision(), (exact_state, exact_state))
    exact = derivatives(point, question, rules)
    return {name: float((np.abs(one - exact[name]) / bounds[name][growth]).max()) for name, one in observed.items()}


def one_by_one(values: Any) -> Any:
    return np.cumsum(values, axis=1, dtype=values.dtype)[:, -1:]


def composed(point: Point, question: Question, total: Any) -> dict[str, Any]:
    """Return train derivatives by formulas written out by hand, another order of operations altogether."""
    x, g, v, w, n = point.x, point.dy, question.x, question.dy, np.float32(point.x.shape[1])
    mean = total(x) / n
    d = x - mean
    r = 1 / np.sqrt(total(d * d) / n + np.float32(EPSILON))
    xhat, gamma, c = d * r, point.parameters.gamma, v - total(v) / n
    p = total(c * xhat) / n
    first = r * (c - xhat * p)
    second = -2 * r * r * c * p + xhat * r * r * (3 * p * p - total(c * c) / n)
    gc, gx = g - total(g) / n, total(g * xhat)
    product = (
        -gamma
        * r
        * r
        / n
        * (gc * total(xhat * v) + xhat * total(gc * v) + gx * c - 3 / n * gx * xhat * total(xhat * v))
    )
    wc = w - total(w) / n
    mixed = question.gamma * r * (gc - xhat * gx / n) + gamma * r * (wc - xhat * total(w * xhat) / n)
    return {
        "hvp_x": product + mixed, "hvp_gamma": total(g * first) + total(w * xhat),
        "hvp_dy": gamma * first + question.gamma * xhat, "jvp_y": gamma * first, "jvp2_y": gamma * second,
    }  # fmt: skip


# In other orders of operations than the definition's: these are held to the plain bound.
OTHER_ORDERS = ("folded", "by hand", "one by one")
HONEST = {
    "Taylor numbers": lambda point, question: derivatives(point, question, RULES),
    "folded": lambda point, question: derivatives(point, question, RULES, folded=True),
    "by hand": partial(composed, total=lambda values: values.sum(axis=1, keepdims=True)),
    "one by one": partial(composed, total=one_by_one),
}


@pytest.mark.parametrize("honest", HONEST)
@pytest.mark.parametrize("n", [2, 3, 4, 7, 40, 100])
@pytest.mark.parametrize(("offset", "scale"), [(0.5, 1.0), (30.0, 1.0), (0.0, 1e-2), (100.0, 30.0)])
def test_honest_float32_is_inside_the_bounds(honest: str, n: int, offset: float, scale: float) -> None:
    """Stable float32 implementations stay inside the plain bound, the formulas themselves inside the tight one."""
    point, question = problem("train", n=n, channels=50, offset=offset, scale=scale, seed=n, dtype=np.float32)
    observed = HONEST[honest](point, question)
    ratios = worst(*widened(point, question), observed, growth=int(honest in OTHER_ORDERS))
    assert max(ratios.values()) <= 1, ratios


@MODES
def test_taylor_numbers_in_float32_are_inside_the_tight_bound(mode: str) -> None:
    """The formulas themselves, in float32, are inside the tight bound in either mode."""
    for seed in range(5):
        point, question = problem(mode, channels=50, seed=seed, dtype=np.float32)
        ratios = worst(*widened(point, question), derivatives(point, question, RULES), growth=0)
        assert max(ratios.values()) <= 1, ratios


MISTAKES = [
    ("statistics detached in train", "train", {"hvp_x", "third_x"}),
    ("mean detached in train", "train", {"hvp_x"}),
    ("variance detached in train", "train", {"hvp_x", "third_x"}),
    ("gradient through constants", "evaluate", {"hvp_x"}),
    ("epsilon missing", "train", {"hvp_x", "third_x", "jvp_y", "jvp2_y"}),
    ("epsilon squared", "evaluate", {"hvp_x", "hvp_dy", "jvp_y"}),
    ("statistics detached in second derivatives", "train", {"hvp_x", "hvp_gamma", "third_x"}),
    ("second derivatives zero", "evaluate", {"hvp_x", "hvp_gamma", "hvp_dy"}),
    ("statistics detached in third derivatives", "train", {"third_x"}),
    ("statistics detached in forward mode", "train", {"jvp_y", "jvp2_y"}),
    ("statistics detached in nested forward mode", "train", {"jvp2_y"}),
    ("mean detached in the variance", "train", {"hvp_x", "third_x", "jvp2_y"}),
]


@pytest.mark.parametrize(("name", "mode", "caught"), MISTAKES, ids=[name for name, *_ in MISTAKES])
@pytest.mark.parametrize("n", [3, 5, 100])
def test_a_mistake_is_far_outside_the_bounds(name: str, mode: str, caught: set[str], n: int) -> None:
    """A named mistake is at least ten plain bounds away in every quantity that it changes."""
    point, question = problem(mode, n=n)
    observed = derivatives(point, question, VARIANTS[name].applied_to(RULES))
    ratios = worst(point, question, observed, growth=1)
    assert {quantity: ratio for quantity, ratio in ratios.items() if quantity in caught and ratio < 10} == {}


@pytest.mark.parametrize("name", ["mean detached in the variance", "statistics detached in third derivatives"])
def test_a_mistake_of_higher_order_leaves_the_first_derivative(name: str) -> None:
    """What is wrong only beyond the first order leaves first derivatives exactly as they are."""
    point, question = problem("train")
    mistaken = derivatives(point, question, VARIANTS[name].applied_to(RULES))
    np.testing.assert_allclose(derivatives(point, question, RULES)["jvp_y"], mistaken["jvp_y"], rtol=1e-14)


def test_the_bounds_are_the_same_every_time() -> None:
    """Measured twice, a bound is the same bit for bit."""
    point, question = problem("train")
    exact = np.zeros((2, C, 1))
    one, other = (error_bounds(point, question, RULES, single_precision(), (exact, exact)) for _ in range(2))
    for name, bound in one.items():
        np.testing.assert_array_equal(bound, other[name])


def test_an_uncertain_state_widens_the_bounds_of_evaluating() -> None:
    """In evaluate the error bounds of the state go into those of the derivatives."""
    point, question = problem("evaluate")
    exact, uncertain = np.zeros((2, C, 1)), np.full((2, C, 1), 1e-4)
    narrow = error_bounds(point, question, RULES, single_precision(), (exact, exact))
    wide = error_bounds(point, question, RULES, single_precision(), (exact, uncertain))
    assert (wide["jvp_y"] > 10 * narrow["jvp_y"]).all()


def test_a_state_that_may_be_nothing_leaves_a_bound() -> None:
    """A running variance of nothing that errs by more than epsilon is drawn as nothing or more: a bound is a number."""
    point, question = problem("evaluate")
    nothing = replace(point.state, var=np.zeros_like(point.state.var))
    errors = np.full((2, C, 1), 100 * point.parameters.epsilon)
    bounds = error_bounds(replace(point, state=nothing), question, RULES, single_precision(), (0 * errors, errors))
    assert np.isfinite(bounds["jvp_y"]).all()
    assert (bounds["jvp_y"] > 0).all()


def test_gradient_of_the_gradient_is_the_hessian_until_it_is_differentiated() -> None:
    """With the mean constant inside its variance the Hessian along v is right; what is wrong is its derivative."""
    point, question = problem("train")
    assert question.x is not None
    call = _call(point, point.x, point.parameters, RULES, folded=False)
    only_x = replace(question, second=("x",))
    np.testing.assert_allclose(
        gradient_of_gradient(call, point.dy, question.x), derivatives(point, only_x, RULES)["hvp_x"], rtol=1e-9
    )
    changed = VARIANTS["mean detached in the variance in third derivatives"].applied_to(RULES)
    right, wrong = (derivatives(point, question, rules)["third_x"] for rules in (RULES, changed))
    assert abs(right - wrong).max() > 1e-3 * abs(right).max()
