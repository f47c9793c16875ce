"""tinygrad rounds a layer of float16 by its shape, and its statistics always: shown with plain NumPy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Any

import numpy as np
import pytest

EPSILON = 1e-3
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tinygrad") is None or shutil.which("clang") is None,
    reason="tinygrad and clang are not installed: pip install tinygrad, apt install clang",
)


@pytest.fixture(scope="module")
def tinygrad() -> Any:
    os.environ.setdefault("DEV", "CPU")
    return pytest.importorskip("tinygrad")


def drawn(shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return input, gamma, beta, mean and variance in float16."""
    rng, channels = np.random.default_rng(1), shape[1]
    x = rng.standard_normal(shape).astype(np.float16)
    return x, *rng.standard_normal((3, channels)).astype(np.float16), rng.uniform(0.5, 2, channels).astype(np.float16)


def layer(tinygrad: Any, gamma: Any, beta: Any, mean: Any, var: Any) -> Any:
    module, tensor = tinygrad.nn.BatchNorm(len(gamma), eps=EPSILON), tinygrad.Tensor
    module.weight, module.bias, module.running_mean, module.running_var = map(tensor, (gamma, beta, mean, var))
    return module


def test_the_statistics_of_a_batch_are_kept_in_float16(tinygrad: Any) -> None:
    """The output of training has mean and 1 / s rounded to float16, bit for bit, and is not that with exact ones."""
    x, gamma, beta, *state = drawn((64, 5))
    with tinygrad.Context(TRAINING=1):
        found = layer(tinygrad, gamma, beta, *state)(tinygrad.Tensor(x)).numpy()
    wide = x.astype(np.float64)
    statistics = wide.mean(0), 1 / np.sqrt(wide.var(0) + EPSILON)
    exact, rounded = (
        ((x - mean) * inverse * gamma.astype(np.float64) + beta).astype(np.float16)
        for mean, inverse in (statistics, [one.astype(np.float16).astype(np.float64) for one in statistics])
    )
    np.testing.assert_array_equal(found, rounded)
    assert (found != exact).mean() > 0.05


@pytest.mark.parametrize(("shape", "expected"), [((64, 8), True), ((5, 3, 2, 4), False)])
def test_output_is_rounded_by_shape(tinygrad: Any, shape: tuple[int, ...], expected: bool) -> None:
    """A layer on float16 in evaluate is rounded once in one shape, and oftener in another."""
    x, gamma, beta, mean, var = drawn(shape)
    with tinygrad.Context(TRAINING=0):
        found = layer(tinygrad, gamma, beta, mean, var)(tinygrad.Tensor(x)).numpy()
    column = (1, -1, *(1,) * (len(shape) - 2))
    wide = [one.astype(np.float64).reshape(column) for one in (mean, var, gamma, beta)]
    once = ((x - wide[0]) / np.sqrt(wide[1] + EPSILON) * wide[2] + wide[3]).astype(np.float16)
    assert expected == np.array_equal(once, found)


def test_the_gradients_of_a_batch_are_of_the_rounded_statistics(tinygrad: Any) -> None:
    """Twice as many elements are those of mean and 1 / s rounded to float16 as of exact ones, and gamma's is nearer."""
    x, gamma, beta, *state = drawn((64, 5))
    x = x + np.float16(8)
    dy = np.random.default_rng(2).standard_normal(x.shape).astype(np.float16)
    with tinygrad.Context(TRAINING=1):
        module, given = layer(tinygrad, gamma, beta, *state), tinygrad.Tensor(x)
        loss = (module(given) * tinygrad.Tensor(dy)).sum()
        found = [one.numpy().astype(np.float64) for one in loss.gradient(given, module.weight)]
    wide, upstream = x.astype(np.float64), dy.astype(np.float64)
    statistics = wide.mean(0), 1 / np.sqrt(wide.var(0) + EPSILON)

    def gradients(mean: Any, inverse: Any) -> list[Any]:
        xhat = (wide - mean) * inverse
        dx = gamma.astype(np.float64) * inverse * (upstream - upstream.mean(0) - xhat * (upstream * xhat).mean(0))
        return [dx, (upstream * xhat).sum(0)]

    exact, rounded = gradients(*statistics), gradients(*(one.astype(np.float16).astype(float) for one in statistics))
    alike = [(one[0].astype(np.float16) == found[0]).mean() for one in (exact, rounded)]
    assert alike[1] > 1.5 * alike[0]
    assert 2 * np.abs(found[1] - rounded[1]).max() < np.abs(found[1] - exact[1]).max()
