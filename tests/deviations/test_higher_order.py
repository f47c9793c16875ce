"""What is recorded of higher derivatives is the frameworks' own: shown with their primitives, without the oracle."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

EPSILON = 1e-3
GAMMA = np.array([1.5, -0.75, 2.0])
X, DY, V = np.random.default_rng(20150211).standard_normal((3, 7, 3))
N = len(X)
# PyTorch decomposes the operator by a script of its own, which it has deprecated.
NESTED = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
CLOSE = {"rtol": 1e-10, "atol": 1e-10}
DIFFERENCES = {"rtol": 1e-5, "atol": 1e-5}

MEAN = X.mean(0)
D, R = X - MEAN, 1 / np.sqrt(X.var(0) + EPSILON)


def second_difference(function: Callable[[np.ndarray], np.ndarray], h: float = 1e-3) -> np.ndarray:
    return np.asarray((function(X + h * V) - 2 * function(X) + function(X - h * V)) / h**2)


def plain_y(x: np.ndarray) -> np.ndarray:
    return np.asarray(GAMMA * (x - x.mean(0)) / np.sqrt(x.var(0) + EPSILON))


def plain_dx(x: np.ndarray) -> np.ndarray:
    s = np.sqrt(x.var(0) + EPSILON)
    xhat = (x - x.mean(0)) / s
    return np.asarray(GAMMA / s * (DY - DY.mean(0) - xhat * (DY * xhat).mean(0)))


def plain_hvp(h: float = 1e-5) -> np.ndarray:
    return np.asarray((plain_dx(X + h * V) - plain_dx(X - h * V)) / (2 * h))


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="the deviations of PyTorch are shown where it is installed")


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow", reason="the deviations of Keras are shown where TensorFlow is installed")


def torch_layer(torch: Any) -> Any:
    module = torch.nn.BatchNorm1d(3, eps=EPSILON, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(GAMMA))

    def call(x: Any) -> Any:
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        return torch.func.functional_call(module, buffers, (x,))

    return call


def torch_primitives(torch: Any) -> Any:
    def call(x: Any) -> Any:
        d = x - x.mean(0)
        return torch.from_numpy(GAMMA) * d / torch.sqrt((d * d).mean(0) + EPSILON)

    return call


def torch_third(torch: Any, call: Any) -> np.ndarray:
    x = torch.from_numpy(X).requires_grad_()
    found = call(x)
    for vector in (DY, V, V):
        (found,) = torch.autograd.grad(found, x, torch.from_numpy(vector), create_graph=True)
    return np.asarray(found.detach().numpy())


def torch_second_forward(torch: Any, call: Any) -> np.ndarray:
    v = torch.from_numpy(V)

    def along(function: Any) -> Any:
        return lambda x: torch.func.jvp(function, (x,), (v,))[1]

    return np.asarray(along(along(call))(torch.from_numpy(X)).detach().numpy())


def test_torch_primitives_have_the_third_derivative_of_differences(torch: Any) -> None:
    """Composed of primitives the layer has the third derivative that differences of its gradient have."""
    np.testing.assert_allclose(torch_third(torch, torch_primitives(torch)), second_difference(plain_dx), **DIFFERENCES)


def test_torch_module_differentiates_its_double_backward_with_constant_statistics(torch: Any) -> None:
    """The module's third derivative is that of its double backward, mean and 1/s held constant."""
    a = V.sum(0) * DY.mean(0) - (DY * V).sum(0)
    b, g = (V * D).sum(0), (DY * D).sum(0)
    spread = N * V.var(0)
    expected = GAMMA * R**3 / N * (2 * a * V + 3 * R**2 / N * (DY * b**2 + 2 * g * b * V) - spread * DY)
    np.testing.assert_allclose(torch_third(torch, torch_layer(torch)), expected, **CLOSE)
    assert np.abs(expected - second_difference(plain_dx)).max() > 0.1


@NESTED
def test_torch_primitives_have_the_second_forward_derivative_of_differences(torch: Any) -> None:
    """Composed of primitives, forward mode of forward mode gives what differences of the output give."""
    found = torch_second_forward(torch, torch_primitives(torch))
    np.testing.assert_allclose(found, second_difference(plain_y), **DIFFERENCES)


@NESTED
def test_torch_module_differentiates_its_forward_mode_with_constant_statistics(torch: Any) -> None:
    """Forward mode of the module's forward mode holds mean and 1/s constant."""
    w = V - V.mean(0)
    expected = -GAMMA * R**3 * (V * (w * D).mean(0) + D * (w * V).mean(0))
    np.testing.assert_allclose(torch_second_forward(torch, torch_layer(torch)), expected, **CLOSE)
    assert np.abs(expected - second_difference(plain_y)).max() > 0.1


def tf_product(tf: Any, call: Any) -> np.ndarray:
    x = tf.constant(X)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = call(x)
        first = inner.gradient(y, x, output_gradients=tf.constant(DY))
    return np.asarray(outer.gradient(first, x, output_gradients=tf.constant(V)).numpy())


def tf_primitives(tf: Any, centre: Any) -> Any:
    def call(x: Any) -> Any:
        mean = tf.reduce_mean(x, 0)
        var = tf.reduce_mean((x - centre(mean)) ** 2, 0)
        return tf.constant(GAMMA) * (x - mean) / tf.sqrt(var + EPSILON)

    return call


def keras_product() -> np.ndarray:
    """Return the product with Keras' own layer, in a process in which nobody has chosen another backend for Keras."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    assert keras.backend.backend() == "tensorflow"
    layer = keras.layers.BatchNormalization(epsilon=EPSILON, dtype="float64")
    layer.build((None, 3))
    layer.gamma.assign(GAMMA)
    return tf_product(tf, lambda x: layer(x, training=True))


def test_tensorflow_primitives_have_the_second_derivative_of_differences(tf: Any) -> None:
    """Composed of primitives the layer has the second derivative that differences of its gradient have."""
    found = tf_product(tf, tf_primitives(tf, lambda mean: mean))
    np.testing.assert_allclose(found, plain_hvp(), **DIFFERENCES)


def test_keras_layer_holds_the_mean_inside_the_variance_constant(tf: Any, apart: Callable[..., Any]) -> None:
    """The layer has the second derivative of primitives whose variance stops the gradient at the mean."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("the deviations of Keras are shown where it is installed")
    expected = tf_product(tf, tf_primitives(tf, tf.stop_gradient))
    np.testing.assert_allclose(apart(keras_product), expected, **CLOSE)
    assert np.abs(expected - plain_hvp()).max() > 0.1


def composed_dx(tf: Any, x: Any, centre: Callable[[Any], Any]) -> Any:
    """Return the gradient of training by its formula, the variance around a centre made of the mean."""
    mean = tf.reduce_mean(x, 0)
    var = tf.reduce_mean((x - centre(mean)) ** 2, 0)
    inverse, d = tf.math.rsqrt(var + EPSILON), x - mean
    dy = tf.constant(DY, x.dtype)
    return GAMMA * inverse * (dy - tf.reduce_mean(dy, 0) - d * inverse**2 * tf.reduce_mean(dy * d, 0))


def fused_dx(tf: Any, x: Any) -> Any:
    """Return the gradient of training that the fused kernel has."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, *_ = tf.compat.v1.nn.fused_batch_norm(
            tf.reshape(x, [N, 1, 1, 3]), tf.constant(GAMMA, x.dtype), tf.zeros(3), epsilon=EPSILON, is_training=True
        )
        total = tf.reduce_sum(tf.reshape(y, [N, 3]) * tf.constant(DY, x.dtype))
    return tape.gradient(total, x)


def third_of(tf: Any, dx: Callable[[Any], Any], dtype: str) -> np.ndarray:
    """Return the gradient of ``v . H v``, by two more tapes around a first derivative."""
    x, v = tf.constant(X, dtype), tf.constant(V, dtype)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            along = tf.reduce_sum(dx(x) * v)
        curvature = tf.reduce_sum(inner.gradient(along, x) * v)
    return np.asarray(outer.gradient(curvature, x))


def test_third_derivative_of_the_fused_kernel_misses_the_mean_inside_the_variance(tf: Any) -> None:
    """It is that of the gradient's formula with the mean inside the variance detached, which is not the right one."""
    found = third_of(tf, lambda x: fused_dx(tf, x), "float32")
    lost = third_of(tf, lambda x: composed_dx(tf, x, tf.stop_gradient), "float64")
    kept = third_of(tf, lambda x: composed_dx(tf, x, lambda mean: mean), "float64")
    np.testing.assert_allclose(found, lost, rtol=1e-3, atol=1e-3)
    assert abs(found - kept).max() > 0.1
    second = (plain_hvp_at(X + 1e-4 * V) - plain_hvp_at(X - 1e-4 * V)) / 2e-4
    np.testing.assert_allclose(kept, second, rtol=1e-3, atol=1e-3)


def plain_hvp_at(x: np.ndarray, h: float = 1e-4) -> np.ndarray:
    return np.asarray((plain_dx(x + h * V) - plain_dx(x - h * V)) / (2 * h))
