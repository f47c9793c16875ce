"""On long rows formulas are computed in place, in few passes: what comes of it is the same to rounding."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.definition import blocks, gradients, sums
from conformance.definition.batch_norm import Forward, Parameters, State, forward
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate
from conformance.definition.variants import VARIANTS

LENGTHS = [2**12, 2**12 + 1, 50176, 100003]


def drawn(length: int, mean: float, dtype: Any = np.float64) -> np.ndarray:
    return (np.random.Generator(np.random.PCG64(length)).normal(size=(2, length)) + mean).astype(dtype)


@pytest.mark.parametrize("mean", [0.0, 1e3])
@pytest.mark.parametrize("length", LENGTHS)
def test_sums_of_products_err_like_pairwise_sums(length: int, mean: float) -> None:
    """They are inside the tight bound, which grows with the logarithm of the length, for any length."""
    one, other = drawn(length, mean), drawn(length + 1, mean)[:, :length]
    found = sums.row_dot(one, other)
    for row in range(2):
        terms = [a * b for a, b in zip(one[row].tolist(), other[row].tolist(), strict=True)]
        bound = (math.log2(length) + 2) * 2.0**-53 * math.fsum(map(abs, terms))
        assert abs(found[row, 0] - math.fsum(terms)) <= bound


def test_without_numpys_own() -> None:
    """NumPy 1 has no ``vecdot``: ``einsum`` gives the same sums."""
    one, other = drawn(5000, 1.0), drawn(5001, 0.0)[:, :5000]
    np.testing.assert_allclose(sums._einsum(one, other), (one * other).sum(axis=1), rtol=1e-12)


def called(length: int, dtype: Any) -> Forward:
    """Return a training forward of two channels."""
    columns = [np.array([[one], [other]], dtype) for one, other in ((1.5, -0.7), (0.2, 0.1), (0.0, 0.0), (1.0, 1.0))]
    gamma, beta, mean, var = columns
    state = State(mean, var)
    x = drawn(length, 10.0, dtype)
    return forward(x, "train", (length, 2), Parameters(gamma, beta, 1e-3), state, state, Rules())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_gradients_in_few_passes(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the formulas as they are written, to a few roundings of the largest."""
    call, dy = called(5000, dtype), drawn(5001, 0.3, dtype)[:, :5000]
    fast = gradients.gradients(call, dy, Rules())
    monkeypatch.setattr(gradients, "suits", lambda *_: False)
    written_out = gradients.gradients(call, dy, Rules())
    assert fast.keys() == written_out.keys()
    for name, one in written_out.items():
        far = np.abs(fast[name] - one).max() / np.abs(one).max()
        assert far < 40 * np.finfo(dtype).eps, name


def test_every_mistake_is_made_on_long_rows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variant is lost in the few passes: each predicts there what the formulas written out predict."""
    asked = msgspec.convert(
        {"id": "file/name", "fact": "It is so.", "clauses": ["1.1"], "shape": "64x2x65", "dtype": "float32",
         "steps": [{"train": "a", "gradients": ["x", "gamma", "beta"]}]}, Case
    )  # fmt: skip
    arrays = generate(asked)
    rules = {name: variant.applied_to(Rules()) for name, variant in VARIANTS.items()}
    fast = {name: simulate(asked, arrays, one) for name, one in rules.items()}
    monkeypatch.setattr(sums, "_LONG", 2**30)
    for name, one in rules.items():
        for key, expected in simulate(asked, arrays, one).items():
            same = np.abs(fast[name][key].value - expected.value) <= expected.tight + 1e-300  # type: ignore[union-attr]
            assert same.all(), (name, key)


def test_blocks_of_long_rows_say_what_the_whole_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many channels are taken together changes no bit: what is computed in place is so by the length of rows."""
    asked = msgspec.convert(
        {"id": "file/name", "fact": "It is so.", "clauses": ["1.1"], "shape": "64x3x65",
         "steps": [{"train": "a", "gradients": ["x", "gamma", "beta"]}]}, Case
    )  # fmt: skip
    arrays = generate(asked)
    together = simulate(asked, arrays, Rules())
    monkeypatch.setattr(blocks, "_VALUES", 64 * 65)
    for key, one in simulate(asked, arrays, Rules()).items():
        np.testing.assert_equal(vars(one), vars(together[key]))


def test_where_to_put_them() -> None:
    """Output and gradient are written to arrays that are given for them."""
    y, dx = np.empty((2, 5000)), np.empty((2, 5000))
    call, dy = called(5000, np.float64), drawn(5001, 0.3)[:, :5000]
    state = State(call.mean, call.var)
    again = forward(call.x, "train", call.shape, call.parameters, state, state, Rules(), out=y)
    found = gradients.gradients(again, dy, Rules(), out=dx)
    assert again.y is y
    assert found["x"] is dx
    np.testing.assert_array_equal(call.y, y)
    np.testing.assert_array_equal(gradients.gradients(call, dy, Rules())["x"], dx)
