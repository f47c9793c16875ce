"""A state of 16 bits is blended in 16 bits: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

EPSILON = 1e-3
#: The weight of a batch.
WEIGHT = 0.1


@dataclass(frozen=True)
class Given:
    """A batch, and a layer with its state, all of one dtype of 16 bits."""

    x: Any
    gamma: Any
    beta: Any
    mean: Any
    var: Any

    @property
    def number(self) -> Any:
        return self.x.dtype.type

    @property
    def batch_mean(self) -> Any:
        return self.x.mean(0, dtype=np.float64)


CHANNELS = 32
_RNG = np.random.default_rng(20150211)
_GAMMA, _BETA, _MEAN = _RNG.standard_normal((3, CHANNELS))
# Of the old mean the batch leaves little: what rounding has done to the two products is the larger part of the new one.
# The mean of the batch is the same in any precision.
_X = np.clip(np.rint(-_MEAN * (1 - WEIGHT) / WEIGHT), -15, 15) + np.resize([[1.0], [-1.0]], (64, 1))
_DRAWN = _X, _GAMMA, _BETA, _MEAN, _RNG.uniform(0.5, 2, CHANNELS)


def of_dtype(name: str) -> Given:
    return Given(*(one.astype(getattr(ml_dtypes, name, getattr(np, name, None))) for one in _DRAWN))


def state_of_mlx(given: Given) -> Any:
    import mlx.core as mx  # noqa: PLC0415
    import mlx.nn  # noqa: PLC0415

    def tensor(array: Any) -> Any:
        return mx.array(array.astype(np.float32)).astype(getattr(mx, array.dtype.name))

    mx.set_default_device(mx.cpu)
    module: Any = mlx.nn.BatchNorm(CHANNELS, eps=EPSILON, momentum=WEIGHT)
    named = {"weight": given.gamma, "bias": given.beta, "running_mean": given.mean, "running_var": given.var}
    module.update({name: tensor(array) for name, array in named.items()})
    module.train()(tensor(given.x))
    assert module.running_mean.dtype == getattr(mx, given.x.dtype.name)
    return np.array(module.running_mean.astype(mx.float32)).astype(given.number)


def state_of_haiku(given: Given) -> Any:
    import haiku  # noqa: PLC0415

    def call(x: Any) -> Any:
        layer = haiku.BatchNorm(create_scale=True, create_offset=True, decay_rate=1 - WEIGHT, eps=EPSILON)
        return layer(x, is_training=True)

    state = {
        f"batch_norm/~/{name}_ema": {"average": value[None], "hidden": value[None], "counter": np.int32(9)}
        for name, value in (("mean", given.mean), ("var", given.var))
    }
    parameters = {"batch_norm": {"scale": given.gamma[None], "offset": given.beta[None]}}
    _, moved = haiku.transform_with_state(call).apply(parameters, state, None, given.x)
    return np.asarray(moved["batch_norm/~/mean_ema"]["hidden"][0])


def state_of_equinox(given: Given) -> Any:
    import equinox  # noqa: PLC0415
    import jax  # noqa: PLC0415

    module, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(
        CHANNELS, "batch", eps=EPSILON, dtype=given.number, mode="ema", momentum=1 - WEIGHT
    )
    state = state.set(module.ema_state_index, (jax.numpy.array(given.mean), jax.numpy.array(given.var)))
    state = state.set(module.ema_first_time_index, jax.numpy.array(0, dtype=bool))
    _, state = jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(given.x, state)
    return np.asarray(state.get(module.ema_state_index)[0])


def state_of_onnx(given: Given) -> Any:
    from onnx.reference.ops import op_batch_normalization as operator  # noqa: PLC0415

    scale, offset = np.ones(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
    found = operator._batchnorm_training_mode(given.x, scale, offset, given.mean, given.var, momentum=1 - WEIGHT)
    return found[3]


def state_of_tinygrad(given: Given) -> Any:
    os.environ.setdefault("DEV", "CPU")
    from tinygrad import Context, Tensor, nn  # noqa: PLC0415

    module = nn.BatchNorm(CHANNELS, eps=EPSILON, momentum=WEIGHT)
    held = (given.gamma, given.beta, given.mean, given.var)
    module.weight, module.bias, module.running_mean, module.running_var = map(Tensor, held)
    with Context(TRAINING=1):
        module(Tensor(given.x)).realize()
    return module.running_mean.numpy()


def blended_in_sixteen_bits(given: Given) -> Any:
    kept, weight = given.number(1 - WEIGHT), given.number(WEIGHT)
    return given.mean * kept + given.batch_mean.astype(given.number) * weight


def blended_by_the_rest(given: Given) -> Any:
    """As Haiku: the weight of the batch is 1 less the rounded one of the state."""
    kept = given.number(1 - WEIGHT)
    return given.mean * kept + given.batch_mean.astype(given.number) * (given.number(1) - kept)


def summed_in_sixteen_bits(given: Given) -> Any:
    """As NumPy with bfloat16: the values of the batch are added up in bfloat16; the blend itself is not rounded."""
    total = given.number(0)
    for row in given.x:
        total = total + row
    mean = (total / given.number(len(given.x))).astype(np.float64)
    return (given.mean.astype(np.float64) * (1 - WEIGHT) + mean * WEIGHT).astype(given.number)


def blended_with_weights_of_sixteen_bits(given: Given) -> Any:
    kept, weight = float(given.number(1 - WEIGHT)), float(given.number(WEIGHT))
    return (given.mean.astype(np.float64) * kept + given.batch_mean * weight).astype(given.number)


def blended_once(given: Given) -> Any:
    return (given.mean.astype(np.float64) * (1 - WEIGHT) + given.batch_mean * WEIGHT).astype(given.number)


@pytest.mark.parametrize(
    ("needs", "state", "dtype", "blended"),
    [
        pytest.param("mlx", state_of_mlx, "float16", blended_in_sixteen_bits, id="mlx-float16"),
        pytest.param("mlx", state_of_mlx, "bfloat16", blended_in_sixteen_bits, id="mlx-bfloat16"),
        pytest.param("equinox", state_of_equinox, "float16", blended_in_sixteen_bits, id="equinox-float16"),
        pytest.param("equinox", state_of_equinox, "bfloat16", blended_in_sixteen_bits, id="equinox-bfloat16"),
        pytest.param("haiku", state_of_haiku, "float16", blended_by_the_rest, id="haiku-float16"),
        pytest.param("haiku", state_of_haiku, "bfloat16", blended_by_the_rest, id="haiku-bfloat16"),
        pytest.param("onnx", state_of_onnx, "float16", blended_in_sixteen_bits, id="onnx-reference-float16"),
        pytest.param("onnx", state_of_onnx, "bfloat16", summed_in_sixteen_bits, id="onnx-reference-bfloat16"),
        pytest.param("tinygrad", state_of_tinygrad, "float16", blended_with_weights_of_sixteen_bits, id="tinygrad"),
    ],
)
def test_a_blend_is_rounded(
    needs: str, state: Callable[[Given], Any], dtype: str, blended: Callable[[Given], Any]
) -> None:
    """The new mean is that of a blend in 16 bits, bit for bit; with one rounding it is another."""
    if importlib.util.find_spec(needs) is None or (needs == "tinygrad" and shutil.which("clang") is None):
        pytest.skip(f"{needs} is not installed: pip install {needs}")
    given = of_dtype(dtype)
    found = state(given)
    np.testing.assert_array_equal(found, blended(given), strict=True)
    assert (found != blended_once(given)).any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_variables_of_sixteen_bits_are_moved_in_them(dtype: str) -> None:
    """A TensorFlow variable moved by rounded moments is that of 16-bit products, and not the one rounded once."""
    tf = pytest.importorskip("tensorflow", reason="the deviations of TensorFlow are shown where it is installed")
    given, weight = of_dtype(dtype), 0.7
    held, moments = np.stack([given.mean, given.var]), tf.stack(tf.nn.moments(tf.constant(given.x), [0]))
    wide = given.x.astype(np.float64)
    batch = np.stack([wide.mean(0), wide.var(0)])
    np.testing.assert_array_equal(moments.numpy(), batch.astype(given.number), strict=True)
    found = (tf.Variable(held) * (1 - weight) + moments * weight).numpy()
    each = held * given.number(1 - weight) + batch.astype(given.number) * given.number(weight)
    np.testing.assert_array_equal(found, each, strict=True)
    assert (found != (held.astype(np.float64) * (1 - weight) + batch * weight).astype(given.number)).any()
