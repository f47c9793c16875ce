"""Folding into a linear layer: what is one in two steps, and how far honest rounding takes it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from conformance.corpus.case import Case, Inputs, Step
from conformance.corpus.inputs import generate
from conformance.definition.linear import Linear
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate
from conformance.errors import CaseError

ORDERS = ("one factor", "inverse first", "divided", "multiplied out", "two layers")


def test_a_convolution_has_zeros_around_its_input() -> None:
    """Three weights of one on 1, 2, 3 add up each value and its neighbours, and nothing beyond the ends."""
    summed = Linear(np.ones((1, 1, 3)))(np.array([[[1.0, 2.0, 3.0]]]))
    np.testing.assert_array_equal([[[3.0, 6.0, 5.0]]], summed)


def test_a_convolution_is_not_mirrored() -> None:
    """A weight at the last of three places takes the value that comes after."""
    moved = Linear(np.array([[[0.0, 0.0, 1.0]]]))(np.array([[[1.0, 2.0, 3.0]]]))
    np.testing.assert_array_equal([[[2.0, 3.0, 0.0]]], moved)


def test_groups_see_inputs_of_their_own() -> None:
    """Of two groups the first two outputs are made of the first three inputs, the others of the rest."""
    kernel, x = np.arange(12.0).reshape(4, 3, 1), np.arange(12.0).reshape(1, 6, 2)
    halves = [Linear(kernel[:2])(x[:, :3]), Linear(kernel[2:])(x[:, 3:])]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), Linear(kernel)(x))


def test_a_dense_layer_is_a_matrix() -> None:
    """Without spatial dimensions the layer multiplies by its kernel and adds its bias."""
    kernel, bias, x = np.arange(6.0).reshape(2, 3), np.array([1.0, -1.0]), np.ones((4, 3))
    np.testing.assert_array_equal(x @ kernel.T + bias, Linear(kernel, bias)(x))


def test_terms_count_the_bias() -> None:
    """An output of three features at nine places is a sum of 28."""
    assert 28 == Linear(np.zeros((2, 3, 3, 3))).terms


def honest(order: str, arrays: dict[str, Any], epsilon: float) -> Any:
    """Fold in float32, in one of the orders that people write, and return the output."""
    gamma, beta, mean, var = (arrays[name] for name in ("gamma", "beta", "running_mean", "running_var"))
    kernel, bias, x = (arrays[name] for name in ("kernel:1", "bias:1", "x:a"))
    added, one = np.float32(epsilon), np.float32(1)
    across = (-1, *(1,) * (kernel.ndim - 1))
    inverse = one / np.sqrt(var + added)
    factor = gamma * inverse
    if order == "two layers":
        spread = (1, -1, *(1,) * (x.ndim - 2))
        between = (Linear(kernel, bias)(x) - mean.reshape(spread)) * inverse.reshape(spread)
        return between * gamma.reshape(spread) + beta.reshape(spread)
    if order == "divided":
        scaled = kernel * gamma.reshape(across) / np.sqrt(var + added).reshape(across)
        return Linear(scaled, (bias - mean) * gamma / np.sqrt(var + added) + beta)(x)
    scaled = kernel * inverse.reshape(across) * gamma.reshape(across) if order == "inverse first" else (
        kernel * factor.reshape(across))  # fmt: skip
    offset = bias * factor - mean * factor + beta if order == "multiplied out" else (bias - mean) * factor + beta
    return Linear(scaled, offset)(x)


@pytest.mark.parametrize("order", ORDERS)
def test_honest_folds_are_inside_the_plain_bound(order: str) -> None:
    """In float32 no order of folding leaves the bound, over shapes, offsets, scales and epsilons."""
    draw = random.Random(order)  # noqa: S311  (no secret)
    worst = 0.0
    for _ in range(80):
        case = drawn(draw)
        try:
            arrays = generate(case)
        except CaseError:
            continue
        expected = simulate(case, arrays, Rules())[1, "y"]
        assert isinstance(expected, Expected)
        y = honest(order, arrays, case.epsilon)
        assert np.float32 == y.dtype
        worst = max(worst, float((np.abs(y - expected.value) / expected.plain).max()))
    assert 0.01 < worst <= 1


def drawn(draw: random.Random) -> Case:
    """Return a case that folds one layer, with a bias before it."""
    shape = draw.choice(["5x3", "64x5", "4x3x7", "5x3x2x4", "2x3x4x5x6"])
    before: Any = draw.choice(["biased", "biased", "depthwise"]) if len(shape.split("x")) > 2 else "biased"
    inputs = Inputs(offset=draw.choice([0, 1, -1]) * 10 ** draw.uniform(-1, 4), scale=10 ** draw.uniform(-6, 6))
    return Case(
        id="made/up", fact="It is made up.", clauses=("20.2",), shape=shape, x=inputs,
        epsilon=10 ** draw.uniform(-12, 0), steps=(Step(evaluate="a", folded=before),),
    )  # fmt: skip
