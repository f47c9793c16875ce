"""What is recorded of PaddlePaddle is PaddlePaddle's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("paddle") is None,
    reason="the deviations of Paddle are shown where it is installed: pip install paddlepaddle",
)
# Paddle keeps epsilon in float32, whatever the dtype of the layer.
EPSILON, MOMENTUM = float(np.float32(1e-3)), 0.5
X, LATER, DY = np.random.default_rng(20150211).standard_normal((3, 7, 3))
MEAN, VAR, GAMMA = np.array([0.5, -1.0, 0.25]), np.array([0.25, 4.0, 1.0]), np.array([1.5, -0.75, 2.0])


def layer(**changes: Any) -> Any:
    import paddle  # noqa: PLC0415

    paddle.set_device("cpu")
    paddle.set_default_dtype("float64")
    module = paddle.nn.BatchNorm1D(3, epsilon=EPSILON, momentum=MOMENTUM, **changes)
    for name, values in (("_mean", MEAN), ("_variance", VAR), ("weight", GAMMA)):
        if getattr(module, name) is not None:
            getattr(module, name).set_value(values)
    return module


def trained(lacking: str | None = None, moved: str | None = None, by: float = 0.0) -> tuple[Any, dict[str, Any]]:
    """Train without one parameter, another moved: the output and the gradients of gamma and beta, or ``None``."""
    import paddle  # noqa: PLC0415

    module = layer(**({lacking: False} if lacking else {}))
    if moved is not None:
        getattr(module, moved).set_value(getattr(module, moved).numpy() + by)
    y = module(paddle.to_tensor(X))
    (y * paddle.to_tensor(DY)).sum().backward()
    held = {name: getattr(module, name) for name in ("weight", "bias")}
    return y.numpy(), {
        name: one.grad.numpy() for name, one in held.items() if one is not None and one.grad is not None
    }


def evaluated(*, between: bool) -> Any:
    """Evaluate, train in between or not, and then differentiate what was evaluated by its input."""
    import paddle  # noqa: PLC0415

    module, x = layer(), paddle.to_tensor(X, stop_gradient=False)
    module.eval()
    y = module(x)
    if between:
        module.train()
        module(paddle.to_tensor(LATER))
    return paddle.grad(y, [x], paddle.to_tensor(DY))[0].numpy()


@pytest.mark.parametrize(("lacking", "left"), [("bias_attr", "weight"), ("weight_attr", "bias")])
def test_one_parameter_alone_is_never_trained(apart: Callable[..., Any], lacking: str, left: str) -> None:
    """A layer made without beta, or without gamma, leaves the gradient of the other None; differences are not 0."""
    assert {} == apart(trained, lacking)[1]
    h = 1e-6
    above, below = ((apart(trained, lacking, left, shift)[0] * DY).sum(0) for shift in (h, -h))
    xhat = (X - X.mean(0)) / np.sqrt(X.var(0) + EPSILON)
    expected = {"weight": (DY * xhat).sum(0), "bias": DY.sum(0)}[left]
    np.testing.assert_allclose((above - below) / (2 * h), expected, rtol=1e-7)
    assert abs(expected).max() > 0.1


def test_both_parameters_are_trained(apart: Callable[..., Any]) -> None:
    """A layer that has both has the gradients of both."""
    gradients = apart(trained)[1]
    xhat = (X - X.mean(0)) / np.sqrt(X.var(0) + EPSILON)
    np.testing.assert_allclose(gradients["bias"], DY.sum(0), rtol=1e-12)
    np.testing.assert_allclose(gradients["weight"], (DY * xhat).sum(0), rtol=1e-12)


@pytest.mark.parametrize("between", [False, True], ids=["at once", "after a training call"])
def test_backward_of_an_evaluate_reads_the_present_state(apart: Callable[..., Any], between: bool) -> None:
    """The gradient of an evaluate is that of its own statistics at once, and after a training call of those it left."""
    var = (1 - MOMENTUM) * VAR + MOMENTUM * LATER.var(0) if between else VAR
    found = apart(evaluated, between=between)
    np.testing.assert_allclose(found, GAMMA / np.sqrt(var + EPSILON) * DY, rtol=1e-6)
    assert abs(GAMMA / np.sqrt(var + EPSILON) / (GAMMA / np.sqrt(VAR + EPSILON)) - 1).max() > 0.05 or not between


def folded(kind: str, epsilon: float) -> tuple[Any, Any]:
    """Fold into a dense layer or a convolution whose weights are all ones; return weight and bias."""
    import paddle  # noqa: PLC0415
    from paddle.quantization.imperative.fuse_utils import fuse_layers  # noqa: PLC0415

    paddle.set_default_dtype("float64")
    before, norm = {
        "Linear": lambda: (paddle.nn.Linear(3, 3), paddle.nn.BatchNorm1D(3, epsilon=epsilon)),
        "Conv2D": lambda: (paddle.nn.Conv2D(3, 3, 3), paddle.nn.BatchNorm2D(3, epsilon=epsilon)),
    }[kind]()
    before.weight.set_value(np.ones(before.weight.shape))
    before.bias.set_value(np.zeros(3))
    for name, values in (("_mean", MEAN), ("_variance", VAR), ("weight", GAMMA)):
        getattr(norm, name).set_value(values)
    model = paddle.nn.Sequential(before, norm)
    model.eval()
    fused = fuse_layers(model, [["0", "1"]])[0]
    return fused.weight.numpy(), fused.bias.numpy()


def test_a_dense_kernel_is_folded_along_its_inputs(apart: Callable[..., Any]) -> None:
    """Of a weight of ones, (features, units), each row is scaled, where the layer after it scales each column."""
    weight, _ = apart(folded, "Linear", 1e-3)
    scale = GAMMA / np.sqrt(VAR + 1e-3)
    np.testing.assert_allclose(weight, np.broadcast_to(scale[:, None], (3, 3)), rtol=1e-14)


def test_a_convolution_is_folded_along_its_units(apart: Callable[..., Any]) -> None:
    """Of a weight of ones, (units, features, ...), each unit is scaled."""
    weight, _ = apart(folded, "Conv2D", 1e-3)
    scale = GAMMA / np.sqrt(VAR + 1e-3)
    np.testing.assert_allclose(weight, np.broadcast_to(scale[:, None, None, None], (3, 3, 3, 3)), rtol=1e-14)


def test_epsilon_is_folded_as_given(apart: Callable[..., Any]) -> None:
    """The folded bias has 1e-3 for epsilon, not the float32 number next to it."""
    _, bias = apart(folded, "Conv2D", 1e-3)
    with_given, with_float32 = (-MEAN * GAMMA / np.sqrt(VAR + epsilon) for epsilon in (1e-3, EPSILON))
    np.testing.assert_allclose(bias, with_given, rtol=1e-15)
    assert (np.abs(bias / with_float32 - 1) > 1e-12).all()
