"""Layers composed of 16-bit operations round after each: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

EPSILON = 1e-3
_RNG = np.random.default_rng(20150211)
X = _RNG.standard_normal((64, 8)).astype(np.float16)
GAMMA, BETA, MEAN = _RNG.standard_normal((3, 8)).astype(np.float16)
VAR = _RNG.uniform(0.5, 2, 8).astype(np.float16)


def rounded_once() -> Any:
    x, gamma, beta, mean, var = (one.astype(np.float64) for one in (X, GAMMA, BETA, MEAN, VAR))
    return ((x - mean) / np.sqrt(var + EPSILON) * gamma + beta).astype(np.float16)


def inverse() -> Any:
    """Return ``1 / s``: sum, root and quotient are each rounded to float16."""
    return np.float16(1) / np.sqrt(VAR + np.float16(EPSILON))


def rounded_each_time() -> Any:
    return GAMMA * ((X - MEAN) * inverse()) + BETA


def normalised_in_float32() -> Any:
    """As under vmap: normalised by a kernel that rounds once, then two operations more."""
    x, mean, var = (one.astype(np.float64) for one in (X, MEAN, VAR))
    return ((x - mean) / np.sqrt(var + EPSILON)).astype(np.float16) * GAMMA + BETA


def by_vmap() -> Any:
    import torch  # noqa: PLC0415

    given = [torch.from_numpy(np.stack([one, one])) for one in (X, MEAN, VAR, GAMMA, BETA)]
    call = torch.vmap(lambda x, *rest: torch.nn.functional.batch_norm(x, *rest, training=False, eps=EPSILON))
    return call(*given)[0].numpy()


def by_mlx() -> Any:
    import mlx.core as mx  # noqa: PLC0415
    import mlx.nn  # noqa: PLC0415

    mx.set_default_device(mx.cpu)
    module: Any = mlx.nn.BatchNorm(8, eps=EPSILON)
    named = {"weight": GAMMA, "bias": BETA, "running_mean": MEAN, "running_var": VAR}
    module.update({name: mx.array(array) for name, array in named.items()})
    return np.array(module.eval()(mx.array(X)))


def rsqrt() -> Any:
    """Return ``1 / s`` where it is one operation: rounded once, of a sum that was rounded."""
    return (1 / np.sqrt((VAR + np.float16(EPSILON)).astype(np.float32))).astype(np.float16)


def scaled_at_once() -> Any:
    """As Flax nnx and Haiku: the centred input times the product of gamma and ``1 / s``."""
    return (X - MEAN) * (GAMMA * rsqrt()) + BETA


def divided() -> Any:
    """As Equinox: by the root, then gamma and beta."""
    return (X - MEAN) / np.sqrt(VAR + np.float16(EPSILON)) * GAMMA + BETA


def folded() -> Any:
    """As ``tf.nn.batch_normalization``: the input times a slope plus an intercept."""
    slope = rsqrt() * GAMMA
    return X * slope + (BETA - MEAN * slope)


def by_nnx() -> Any:
    from flax import nnx  # noqa: PLC0415

    module = nnx.BatchNorm(8, epsilon=EPSILON, dtype=np.float16, use_running_average=True, rngs=nnx.Rngs(0))
    named = {"scale": GAMMA, "bias": BETA, "mean": MEAN, "var": VAR}
    for name, array in named.items():
        getattr(module, name).set_value(array.astype(np.float32))
    return np.asarray(module(X))


def by_haiku() -> Any:
    import haiku  # noqa: PLC0415

    def call(x: Any) -> Any:
        return haiku.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9, eps=EPSILON)(x, is_training=False)

    module = "batch_norm"
    state = {f"{module}/~/{name}_ema": {"average": value[None]} for name, value in (("mean", MEAN), ("var", VAR))}
    apply = haiku.transform_with_state(call).apply
    return np.asarray(apply({module: {"scale": GAMMA[None], "offset": BETA[None]}}, state, None, X)[0])


def by_equinox() -> Any:
    import equinox  # noqa: PLC0415
    import jax  # noqa: PLC0415

    module, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(
        8, "batch", eps=EPSILON, dtype=np.float16, mode="ema", inference=True
    )
    module = equinox.tree_at(lambda one: (one.weight, one.bias), module, (GAMMA, BETA))
    state = state.set(module.ema_state_index, (jax.numpy.array(MEAN), jax.numpy.array(VAR)))
    return np.asarray(jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(X, state)[0])


def by_tensorflow() -> Any:
    import tensorflow as tf  # noqa: PLC0415

    return tf.nn.batch_normalization(X, MEAN, VAR, BETA, GAMMA, EPSILON).numpy()


def off(found: Any, expected: Any) -> float:
    """Return how many steps of float16 the two are apart, on average."""
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return float((apart / np.spacing(np.maximum(np.abs(expected), np.float16(0.1)))).mean())


@pytest.mark.parametrize(
    ("needs", "by", "rounded"),
    [
        pytest.param("torch", by_vmap, normalised_in_float32, id="torch-func under vmap"),
        pytest.param("mlx", by_mlx, rounded_each_time, id="mlx"),
        pytest.param("flax", by_nnx, scaled_at_once, id="flax-nnx"),
        pytest.param("haiku", by_haiku, scaled_at_once, id="haiku"),
        pytest.param("tensorflow", by_tensorflow, folded, id="tensorflow-nn"),
    ],
)
def test_each_operation_is_rounded(needs: str, by: Callable[[], Any], rounded: Callable[[], Any]) -> None:
    """The output is that of float16 operations bit for bit, and not the one rounded once."""
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed: pip install {needs}")
    found = by()
    assert np.float16 == found.dtype
    np.testing.assert_array_equal(found, rounded())
    assert off(found, rounded_once()) > 0.25


def test_float32_parameters_are_folded_and_rounded() -> None:
    """tf.nn.batch_normalization rounds slope and intercept of float32 to float16, and then works in float16."""
    tf = pytest.importorskip("tensorflow", reason="the deviations of TensorFlow are shown where it is installed")
    mean, var, gamma, beta = (one.astype(np.float32) for one in (MEAN, VAR, GAMMA, BETA))
    slope = 1 / np.sqrt(var + np.float32(EPSILON)) * gamma
    found = tf.nn.batch_normalization(X, mean, var, beta, gamma, EPSILON).numpy()
    np.testing.assert_array_equal(found, X * slope.astype(np.float16) + (beta - mean * slope).astype(np.float16))
    assert off(found, rounded_once()) > 0.25


def test_nnx_loses_a_small_variance() -> None:
    """A float16 module of Flax nnx is infinite where variance and epsilon are zero in float16, and nowhere else."""
    nnx: Any = pytest.importorskip("flax.nnx", reason="Flax is not installed: pip install 'batchnorm-conformance[jax]'")
    variance = np.array([2.8e-8, 2.2e-8, 5e-8], np.float32)
    module = nnx.BatchNorm(3, epsilon=1e-8, dtype=np.float16, use_running_average=True, rngs=nnx.Rngs(0))
    module.var.set_value(variance)
    found = np.asarray(module(np.full((1, 3), 1e-3, np.float16)))[0]
    np.testing.assert_array_equal(np.isinf(found), variance.astype(np.float16) + np.float16(1e-8) == 0)
    assert [True, True, False] == np.isinf(found).tolist()


def test_nnx_takes_variance_and_epsilon_in_float16() -> None:
    """Where both are small the output is that of their sum in float16 bit for bit, a twentieth from the exact one."""
    nnx: Any = pytest.importorskip("flax.nnx", reason="Flax is not installed: pip install 'batchnorm-conformance[jax]'")
    variance, epsilon = np.array([2.8e-8, 2.2e-8, 5e-8], np.float32), 1e-7
    module = nnx.BatchNorm(3, epsilon=epsilon, dtype=np.float16, use_running_average=True, rngs=nnx.Rngs(0))
    module.var.set_value(variance)
    x = np.full((1, 3), 1e-3, np.float16)
    found = np.asarray(module(x))
    added = variance.astype(np.float16) + np.float16(epsilon)
    np.testing.assert_array_equal(found, x * (1 / np.sqrt(added.astype(np.float32))).astype(np.float16))
    assert np.abs(found * np.sqrt(variance + epsilon) / x - 1).max() > 1 / 20


def test_equinox_rounds_each_operation() -> None:
    """The output of Equinox is nearer to float16 operations than to the one rounded once, and not that one."""
    if importlib.util.find_spec("equinox") is None:
        pytest.skip("equinox is not installed: pip install equinox")
    found = by_equinox()
    assert np.float16 == found.dtype
    assert 1.5 * off(found, divided()) < off(found, rounded_once())


def test_reference_evaluator_computes_in_sixteen_bits() -> None:
    """ONNX' reference evaluator gives a mean of float16 values in float16, where its text has it computed in float."""
    numpy_op = pytest.importorskip(
        "onnx.reference.ops.op_batch_normalization", reason="onnx is not installed: pip install onnx"
    )
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    _, mean, *_ = numpy_op._batchnorm_training_mode(X, ones, zeros, zeros, ones)
    assert np.float16 == mean.dtype
    y, *_ = numpy_op._batchnorm_training_mode(X, ones, zeros, zeros, ones, epsilon=0.0)
    inverse_of = (1 / np.sqrt(X.var(0))).astype(np.float16)
    exact = (X - X.mean(0, dtype=np.float64)) / X.astype(np.float64).std(0)
    assert off(y, (X - X.mean(0)) * inverse_of) < off(y, exact.astype(np.float16)) * 4
    assert off(y, exact.astype(np.float16)) > 0.25


def test_tinygrad_keeps_the_statistics_of_a_batch_in_float16() -> None:
    """The output of training is nearer to that of a rounded mean and 1 / s than to that of exact ones."""
    if importlib.util.find_spec("tinygrad") is None or shutil.which("clang") is None:
        pytest.skip("tinygrad and clang are not installed: pip install tinygrad")
    os.environ.setdefault("DEV", "CPU")
    from tinygrad import Context, Tensor, nn  # noqa: PLC0415

    module = nn.BatchNorm(8, eps=EPSILON)
    module.weight, module.bias, module.running_mean, module.running_var = map(Tensor, (GAMMA, BETA, MEAN, VAR))
    with Context(TRAINING=1):
        found = module(Tensor(X)).numpy()
    mean, inverse = X.mean(0, dtype=np.float64), 1 / np.sqrt(X.astype(np.float64).var(0) + EPSILON)
    exact, rounded = (
        ((X - kept[0]) * kept[1] * GAMMA.astype(np.float64) + BETA).astype(np.float16)
        for kept in ((mean, inverse), [one.astype(np.float16).astype(np.float64) for one in (mean, inverse)])
    )
    assert 2 * off(found, rounded) < off(found, exact)


@pytest.mark.parametrize(("shape", "expected"), [((64, 8), True), ((5, 3, 2, 4), False)])
def test_tinygrad_rounds_by_shape(shape: tuple[int, ...], expected: bool) -> None:
    """A layer of tinygrad on float16 is rounded once in one shape, and oftener in another."""
    if importlib.util.find_spec("tinygrad") is None or shutil.which("clang") is None:
        pytest.skip("tinygrad and clang are not installed: pip install tinygrad")
    os.environ.setdefault("DEV", "CPU")
    from tinygrad import Context, Tensor, nn  # noqa: PLC0415

    channels, rng = shape[1], np.random.default_rng(1)
    x = rng.standard_normal(shape).astype(np.float16)
    gamma, beta, mean = rng.standard_normal((3, channels)).astype(np.float16)
    var = rng.uniform(0.5, 2, channels).astype(np.float16)
    module = nn.BatchNorm(channels, eps=EPSILON)
    module.weight, module.bias, module.running_mean, module.running_var = map(Tensor, (gamma, beta, mean, var))
    with Context(TRAINING=0):
        found = module(Tensor(x)).numpy()
    rows = [one.astype(np.float64).reshape(1, channels, *(1,) * (len(shape) - 2)) for one in (mean, var, gamma, beta)]
    once = ((x - rows[0]) / np.sqrt(rows[1] + EPSILON) * rows[2] + rows[3]).astype(np.float16)
    assert expected == np.array_equal(once, found)
