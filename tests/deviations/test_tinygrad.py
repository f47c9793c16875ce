"""What is recorded of tinygrad is tinygrad's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Any

import numpy as np
import pytest

if importlib.util.find_spec("tinygrad") is None or shutil.which("clang") is None:
    pytest.skip(
        "the deviations of tinygrad are shown where it and clang are installed: pip install tinygrad",
        allow_module_level=True,
    )
os.environ.setdefault("DEV", "CPU")
from tinygrad import Context, Tensor, nn

EPSILON, MOMENTUM = 1e-3, 0.5
X, LATER, DY, V = np.random.default_rng(20150211).standard_normal((4, 7, 3))
MEAN, VAR, GAMMA = np.array([0.5, -1.0, 0.25]), np.array([0.25, 4.0, 1.0]), np.array([1.5, -0.75, 2.0])


def layer() -> Any:
    module = nn.BatchNorm(3, eps=EPSILON, momentum=MOMENTUM)
    module.weight, module.bias = Tensor(GAMMA).realize(), Tensor(np.zeros(3)).realize()
    module.running_mean, module.running_var = Tensor(MEAN).contiguous().realize(), Tensor(VAR).contiguous().realize()
    return module


@pytest.mark.parametrize("realised", [True, False], ids=["realised before", "realised after"])
def test_gradient_is_of_the_statistics_when_it_is_looked_at(realised: bool) -> None:
    """A gradient of an evaluate that is realised after a training call is that of the statistics which this left."""
    module, x = layer(), Tensor(X).realize()
    with Context(TRAINING=0):
        (gradient,) = module(x).gradient(x, gradient=Tensor(DY))
    if realised:
        gradient = gradient.realize()
    with Context(TRAINING=1):
        module(Tensor(LATER))
    module.running_mean.realize()
    module.running_var.realize()
    moved = (1 - MOMENTUM) * VAR + MOMENTUM * LATER.var(0, ddof=1)
    var = VAR if realised else moved
    np.testing.assert_allclose(gradient.numpy(), GAMMA / np.sqrt(var + EPSILON) * DY, rtol=1e-12)


def gradient_of_training(x: np.ndarray[Any, Any]) -> Any:
    with Context(TRAINING=1):
        given = Tensor(x).realize()
        return given, (layer()(given) * Tensor(DY)).sum().gradient(given)[0]


def by_primitives(x: Any, mean_in_variance: Any) -> Any:
    """Return the loss of the layer, its variance around a centre made of the mean."""
    mean = x.mean(axis=0)
    centred = x - mean_in_variance(mean)
    var = (centred * centred).mean(axis=0)
    return ((x - mean) * (var + EPSILON).rsqrt() * Tensor(GAMMA) * Tensor(DY)).sum()


def second(x: Any, first: Any) -> Any:
    return (first * Tensor(V)).sum().gradient(x)[0].numpy()


def test_second_derivative_loses_the_centre() -> None:
    """The first derivative is right, the second is not that of its differences; without the detach() it is."""
    h = 1e-5
    ends = [gradient_of_training(X + sign * h * V)[1].numpy() for sign in (1, -1)]
    differences = (ends[0] - ends[1]) / (2 * h)
    found = second(*gradient_of_training(X))
    x = Tensor(X).realize()
    kept = second(x, by_primitives(x, lambda mean: mean).gradient(x)[0])
    lost = second(x, by_primitives(x, lambda mean: mean.detach()).gradient(x)[0])
    np.testing.assert_allclose(kept, differences, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(lost, found, rtol=1e-9, atol=1e-11)
    assert abs(found - differences).max() > 0.1
