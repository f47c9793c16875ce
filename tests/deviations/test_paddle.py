"""What is recorded of PaddlePaddle is PaddlePaddle's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    paddle: Any = pytest.importorskip(
        "paddle", reason="the deviations of Paddle are shown where it is installed: pip install paddlepaddle"
    )

pytestmark = pytest.mark.filterwarnings("ignore")
EPSILON, MOMENTUM = 1e-3, 0.5
X, LATER, DY = np.random.default_rng(20150211).standard_normal((3, 7, 3))
MEAN, VAR, GAMMA = np.array([0.5, -1.0, 0.25]), np.array([0.25, 4.0, 1.0]), np.array([1.5, -0.75, 2.0])


def layer(**changes: Any) -> Any:
    paddle.set_device("cpu")
    paddle.set_default_dtype("float64")
    module = paddle.nn.BatchNorm1D(3, epsilon=EPSILON, momentum=MOMENTUM, **changes)
    for name, values in (("_mean", MEAN), ("_variance", VAR), ("weight", GAMMA)):
        if getattr(module, name) is not None:
            getattr(module, name).set_value(values)
    return module


@pytest.mark.parametrize(("lacking", "left"), [("bias_attr", "weight"), ("weight_attr", "bias")])
def test_one_parameter_alone_is_never_trained(lacking: str, left: str) -> None:
    """A layer made without beta, or without gamma, leaves the gradient of the other None; differences are not 0."""
    module, h = layer(**{lacking: False}), 1e-6
    (module(paddle.to_tensor(X)) * paddle.to_tensor(DY)).sum().backward()
    assert getattr(module, left).grad is None
    ends = []
    for shift in (h, -h):
        moved = layer(**{lacking: False})
        getattr(moved, left).set_value(getattr(moved, left).numpy() + shift)
        ends.append((moved(paddle.to_tensor(X)).numpy() * DY).sum(0))
    slope = (ends[0] - ends[1]) / (2 * h)
    xhat = (X - X.mean(0)) / np.sqrt(X.var(0) + EPSILON)
    expected = {"weight": (DY * xhat).sum(0), "bias": DY.sum(0)}[left]
    np.testing.assert_allclose(slope, expected, rtol=1e-7)
    assert abs(expected).max() > 0.1


def test_both_parameters_are_trained() -> None:
    """A layer that has both has the gradients of both."""
    module = layer()
    (module(paddle.to_tensor(X)) * paddle.to_tensor(DY)).sum().backward()
    np.testing.assert_allclose(module.bias.grad.numpy(), DY.sum(0), rtol=1e-12)


@pytest.mark.parametrize("between", [False, True], ids=["at once", "after a training call"])
def test_backward_of_an_evaluate_reads_the_present_state(between: bool) -> None:
    """The gradient of an evaluate is that of its own statistics at once, and after a training call of those it left."""
    module, x = layer(), paddle.to_tensor(X, stop_gradient=False)
    module.eval()
    y = module(x)
    var = VAR
    if between:
        module.train()
        module(paddle.to_tensor(LATER))
        var = (1 - MOMENTUM) * VAR + MOMENTUM * LATER.var(0)
    (found,) = paddle.grad(y, [x], paddle.to_tensor(DY))
    np.testing.assert_allclose(found.numpy(), GAMMA / np.sqrt(var + EPSILON) * DY, rtol=1e-6)
    assert abs(GAMMA / np.sqrt(var + EPSILON) / (GAMMA / np.sqrt(VAR + EPSILON)) - 1).max() > 0.05 or not between
