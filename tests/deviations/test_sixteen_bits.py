"""Layers composed of 16-bit operations round after each: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import pytest

EPSILON = 1e-3
Array: TypeAlias = np.ndarray[Any, Any]
#: Output, and the gradient of the input.
Pair: TypeAlias = tuple[Array, Array]


@dataclass(frozen=True)
class Given:
    """A layer in evaluate, its input and its upstream gradient, all of one dtype of 16 bits."""

    x: Any
    dy: Any
    gamma: Any
    beta: Any
    mean: Any
    var: Any

    @property
    def number(self) -> Any:
        return self.x.dtype.type

    @property
    def epsilon(self) -> Any:
        return self.number(EPSILON)

    @property
    def rsqrt(self) -> Any:
        """Return ``1 / s`` where it is one operation: rounded once, of a sum that was rounded."""
        return (1 / np.sqrt((self.var + self.epsilon).astype(np.float32))).astype(self.number)


_RNG = np.random.default_rng(20150211)
_X, _COLUMNS, _VAR = _RNG.standard_normal((64, 8)), _RNG.standard_normal((3, 8)), _RNG.uniform(0.5, 2, 8)
_DY = _RNG.standard_normal((64, 8))


@pytest.fixture(params=["float16", "bfloat16"])
def given(request: pytest.FixtureRequest) -> Given:
    return of_dtype(request.param)


def of_dtype(name: str) -> Given:
    number = getattr(ml_dtypes, name, getattr(np, name, None))
    return Given(*(one.astype(number) for one in (_X, _DY, *_COLUMNS, _VAR)))


def rounded_once(given: Given) -> Pair:
    x, dy, gamma, beta, mean, var = (one.astype(np.float64) for one in astuple(given))
    slope = gamma / np.sqrt(var + EPSILON)
    return ((x - mean) * slope + beta).astype(given.number), (dy * slope).astype(given.number)


def rounded_each_time(given: Given) -> Pair:
    """As MLX: sum, root and quotient are each rounded, then both products and the sum with beta."""
    inverse = given.number(1) / np.sqrt(given.var + given.epsilon)
    return given.gamma * ((given.x - given.mean) * inverse) + given.beta, given.dy * given.gamma * inverse


def scaled_at_once(given: Given) -> Pair:
    """As Flax nnx and Haiku: the centred input times the product of gamma and ``1 / s``."""
    slope = given.gamma * given.rsqrt
    return (given.x - given.mean) * slope + given.beta, given.dy * slope


def divided(given: Given) -> Pair:
    """As Equinox: by the root, then gamma and beta; XLA divides float16 by a product with the inverse."""
    root = np.sqrt(given.var + given.epsilon)
    over = (lambda one: one * (given.number(1) / root)) if given.number is np.float16 else (lambda one: one / root)
    return over(given.x - given.mean) * given.gamma + given.beta, over(given.dy * given.gamma)


def folded(given: Given) -> Pair:
    """As ``tf.nn.batch_normalization``: the input times a slope plus an intercept."""
    slope = given.rsqrt * given.gamma
    return given.x * slope + (given.beta - given.mean * slope), given.dy * slope


def by_mlx(given: Given) -> Pair:
    import mlx.core as mx  # noqa: PLC0415
    import mlx.nn  # noqa: PLC0415

    def tensor(array: Any) -> Any:
        return mx.array(array.astype(np.float32)).astype(getattr(mx, array.dtype.name))

    mx.set_default_device(mx.cpu)
    module: Any = mlx.nn.BatchNorm(8, eps=EPSILON)
    named = {"weight": given.gamma, "bias": given.beta, "running_mean": given.mean, "running_var": given.var}
    module.update({name: tensor(array) for name, array in named.items()})
    (y,), (dx,) = mx.vjp(module.eval(), [tensor(given.x)], [tensor(given.dy)])
    assert {given.x.dtype.name} == {str(one.dtype).rpartition(".")[2] for one in (y, dx)}
    return np.array(y.astype(mx.float32)).astype(given.number), np.array(dx.astype(mx.float32)).astype(given.number)


def by_jax(given: Given, call: Callable[[Any], Any]) -> Pair:
    import jax  # noqa: PLC0415

    y, back = jax.vjp(call, jax.numpy.asarray(given.x))
    return np.asarray(y), np.asarray(back(jax.numpy.asarray(given.dy))[0])


def by_nnx(given: Given) -> Pair:
    from flax import nnx  # noqa: PLC0415

    module = nnx.BatchNorm(8, epsilon=EPSILON, dtype=given.number, use_running_average=True, rngs=nnx.Rngs(0))
    named = {"scale": given.gamma, "bias": given.beta, "mean": given.mean, "var": given.var}
    for name, array in named.items():
        getattr(module, name).set_value(array.astype(np.float32))
    return by_jax(given, module)


def by_haiku(given: Given) -> Pair:
    import haiku  # noqa: PLC0415

    def call(x: Any) -> Any:
        return haiku.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9, eps=EPSILON)(x, is_training=False)

    held = {f"batch_norm/~/{name}_ema": {"average": getattr(given, name)[None]} for name in ("mean", "var")}
    apply = haiku.transform_with_state(call).apply
    parameters = {"batch_norm": {"scale": given.gamma[None], "offset": given.beta[None]}}
    return by_jax(given, lambda x: apply(parameters, held, None, x)[0])


def by_equinox(given: Given) -> Pair:
    import equinox  # noqa: PLC0415
    import jax  # noqa: PLC0415

    module, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(
        8, "batch", eps=EPSILON, dtype=given.number, mode="ema", inference=True
    )
    module = equinox.tree_at(lambda one: (one.weight, one.bias), module, (given.gamma, given.beta))
    state = state.set(module.ema_state_index, (jax.numpy.array(given.mean), jax.numpy.array(given.var)))
    call = jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    return by_jax(given, lambda x: call(x, state)[0])


def by_tensorflow(given: Given) -> Pair:
    import tensorflow as tf  # noqa: PLC0415

    x, mean, var, beta, gamma = map(tf.constant, (given.x, given.mean, given.var, given.beta, given.gamma))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.batch_normalization(x, mean, var, beta, gamma, EPSILON)
    return y.numpy(), tape.gradient(y, x, output_gradients=tf.constant(given.dy)).numpy()


def off(found: Any, expected: Any) -> float:
    """Return how many steps of their dtype the two are apart, on average."""
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    size = np.maximum(np.abs(expected), expected.dtype.type(0.1))
    return float((apart / np.spacing(size).astype(np.float64)).mean())


FAMILIES = [
    pytest.param("mlx", by_mlx, rounded_each_time, id="mlx"),
    pytest.param("flax", by_nnx, scaled_at_once, id="flax-nnx"),
    pytest.param("haiku", by_haiku, scaled_at_once, id="haiku"),
    pytest.param("equinox", by_equinox, divided, id="equinox"),
    pytest.param("tensorflow", by_tensorflow, folded, id="tensorflow-nn"),
]


@pytest.mark.parametrize(("needs", "by", "rounded"), FAMILIES)
def test_each_operation_is_rounded(
    given: Given, needs: str, by: Callable[[Given], Pair], rounded: Callable[[Given], Pair]
) -> None:
    """Output and input gradient are those of 16-bit operations bit for bit, and not those rounded once."""
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed: pip install {needs}")
    for found, expected, once in zip(by(given), rounded(given), rounded_once(given), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)
        assert off(found, once) > 0.25


def test_vmap_rounds_what_the_kernel_does_not(given: Given) -> None:
    """Under vmap PyTorch rounds what the kernel normalised, then the product with gamma and the sum with beta."""
    torch = pytest.importorskip("torch", reason="the deviations of PyTorch are shown where it is installed")
    sixteen = getattr(torch, given.x.dtype.name)
    stacked = [
        torch.from_numpy(np.stack([one, one]).astype(np.float32)).to(sixteen)
        for one in (given.x, given.mean, given.var, given.gamma, given.beta)
    ]
    call = torch.vmap(lambda x, *rest: torch.nn.functional.batch_norm(x, *rest, training=False, eps=EPSILON))
    found = call(*stacked)[0]
    x, mean, var = (one.astype(np.float64) for one in (given.x, given.mean, given.var))
    normalised = ((x - mean) / np.sqrt(var + EPSILON)).astype(given.number)
    assert sixteen == found.dtype
    y = found.float().numpy().astype(given.number)
    np.testing.assert_array_equal(y, normalised * given.gamma + given.beta)
    assert off(y, rounded_once(given)[0]) > 0.25


def test_float32_parameters_are_folded_and_rounded(given: Given) -> None:
    """tf.nn.batch_normalization rounds slope and intercept of float32 to 16 bits, and so output and gradient."""
    tf = pytest.importorskip("tensorflow", reason="the deviations of TensorFlow are shown where it is installed")
    mean, var, gamma, beta = (one.astype(np.float32) for one in (given.mean, given.var, given.gamma, given.beta))
    exact = 1 / np.sqrt(var + np.float32(EPSILON)) * gamma
    slope, intercept = exact.astype(given.number), (beta - mean * exact).astype(given.number)
    x = tf.constant(given.x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.batch_normalization(x, mean, var, beta, gamma, EPSILON)
    dx = tape.gradient(y, x, output_gradients=tf.constant(given.dy)).numpy()
    for found, expected, once in zip(
        (y.numpy(), dx), (given.x * slope + intercept, given.dy * slope), rounded_once(given), strict=True
    ):
        np.testing.assert_array_equal(found, expected, strict=True)
        assert off(found, once) > 0.15


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


def test_reference_evaluator_computes_in_sixteen_bits(given: Given) -> None:
    """ONNX' reference evaluator rounds mean, variance and difference to 16 bits, where its text has float32."""
    operator = pytest.importorskip(
        "onnx.reference.ops.op_batch_normalization", reason="onnx is not installed: pip install onnx"
    )
    x, ones, zeros = given.x, np.ones(8, np.float32), np.zeros(8, np.float32)
    y, mean, *_ = operator._batchnorm_training_mode(x, ones, zeros, zeros, ones, epsilon=EPSILON)
    assert given.x.dtype == mean.dtype == y.dtype
    difference, var = x - x.mean(0), x.var(0)
    root = np.sqrt(var + EPSILON).astype(np.float32)
    np.testing.assert_array_equal(y, (difference.astype(np.float32) / root).astype(given.number))
    wide = x.astype(np.float64)
    exact = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + EPSILON)
    assert off(y, exact.astype(given.number)) > 0.25
