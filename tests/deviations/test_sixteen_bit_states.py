"""A state of 16 bits is blended in 16 bits: shown with plain NumPy, without the oracle."""

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
#: The weight of a batch, and the mean that a layer with a state of ``MEAN`` has after training on ``X``.
WEIGHT = 0.1


def state_of_mlx() -> Any:
    import mlx.core as mx  # noqa: PLC0415
    import mlx.nn  # noqa: PLC0415

    mx.set_default_device(mx.cpu)
    module: Any = mlx.nn.BatchNorm(8, eps=EPSILON, momentum=WEIGHT)
    named = {"weight": GAMMA, "bias": BETA, "running_mean": MEAN, "running_var": VAR}
    module.update({name: mx.array(array) for name, array in named.items()})
    module.train()(mx.array(X))
    return np.array(module.running_mean)


def state_of_haiku() -> Any:
    import haiku  # noqa: PLC0415

    def call(x: Any) -> Any:
        layer = haiku.BatchNorm(create_scale=True, create_offset=True, decay_rate=1 - WEIGHT, eps=EPSILON)
        return layer(x, is_training=True)

    state = {
        f"batch_norm/~/{name}_ema": {"average": value[None], "hidden": value[None], "counter": np.int32(9)}
        for name, value in (("mean", MEAN), ("var", VAR))
    }
    apply = haiku.transform_with_state(call).apply
    _, moved = apply({"batch_norm": {"scale": GAMMA[None], "offset": BETA[None]}}, state, None, X)
    return np.asarray(moved["batch_norm/~/mean_ema"]["hidden"][0])


def state_of_equinox() -> Any:
    import equinox  # noqa: PLC0415
    import jax  # noqa: PLC0415

    module, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(
        8, "batch", eps=EPSILON, dtype=np.float16, mode="ema", momentum=1 - WEIGHT
    )
    state = state.set(module.ema_state_index, (jax.numpy.array(MEAN), jax.numpy.array(VAR)))
    state = state.set(module.ema_first_time_index, jax.numpy.array(0, dtype=bool))
    _, state = jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(X, state)
    return np.asarray(state.get(module.ema_state_index)[0])


def state_of_onnx() -> Any:
    from onnx.reference.ops import op_batch_normalization as operator  # noqa: PLC0415

    scale, offset = np.ones(8, np.float32), np.zeros(8, np.float32)
    given = operator._batchnorm_training_mode(X, scale, offset, MEAN, VAR, momentum=1 - WEIGHT)
    return given[3]


def state_of_tinygrad() -> Any:
    os.environ.setdefault("DEV", "CPU")
    from tinygrad import Context, Tensor, nn  # noqa: PLC0415

    module = nn.BatchNorm(8, eps=EPSILON, momentum=WEIGHT)
    module.weight, module.bias, module.running_mean, module.running_var = map(Tensor, (GAMMA, BETA, MEAN, VAR))
    with Context(TRAINING=1):
        module(Tensor(X)).realize()
    return module.running_mean.numpy()


def blended_in_sixteen_bits() -> Any:
    return MEAN * np.float16(1 - WEIGHT) + X.mean(0, dtype=np.float64).astype(np.float16) * np.float16(WEIGHT)


def blended_with_weights_of_sixteen_bits() -> Any:
    kept, weight = float(np.float16(1 - WEIGHT)), float(np.float16(WEIGHT))
    return (MEAN.astype(np.float64) * kept + X.mean(0, dtype=np.float64) * weight).astype(np.float16)


def blended_once() -> Any:
    return (MEAN.astype(np.float64) * (1 - WEIGHT) + X.mean(0, dtype=np.float64) * WEIGHT).astype(np.float16)


@pytest.mark.parametrize(
    ("needs", "state", "blended", "most"),
    [
        pytest.param("mlx", state_of_mlx, blended_in_sixteen_bits, 0, id="mlx"),
        pytest.param("onnx", state_of_onnx, blended_in_sixteen_bits, 0, id="onnx-reference"),
        # XLA may keep a product in float32 where it goes on in one loop.
        pytest.param("haiku", state_of_haiku, blended_in_sixteen_bits, 1, id="haiku"),
        pytest.param("equinox", state_of_equinox, blended_in_sixteen_bits, 1, id="equinox"),
        pytest.param("tinygrad", state_of_tinygrad, blended_with_weights_of_sixteen_bits, 0, id="tinygrad"),
    ],
)
def test_the_weights_of_a_blend_are_rounded(
    needs: str, state: Callable[[], Any], blended: Callable[[], Any], most: int
) -> None:
    """The new float16 mean is that of float16 weights, of at most so many channels another; rounded once, of more."""
    if importlib.util.find_spec(needs) is None or (needs == "tinygrad" and shutil.which("clang") is None):
        pytest.skip(f"{needs} is not installed: pip install {needs}")
    found = state()
    assert np.float16 == found.dtype
    assert (found != blended()).sum() <= most < (found != blended_once()).sum()


def test_a_state_of_sixteen_bits_is_blended_in_them() -> None:
    """A float16 variable moved by rounded moments is that of float16 products, and not the one rounded once."""
    tf = pytest.importorskip("tensorflow", reason="the deviations of TensorFlow are shown where it is installed")
    weight, held, moments = 0.7, np.stack([MEAN, VAR]), np.stack(tf.nn.moments(X, [0]))
    batch = np.stack([X.mean(0, dtype=np.float64), X.astype(np.float64).var(0)])
    found = (tf.Variable(held) * (1 - weight) + moments * weight).numpy()
    each = held * np.float16(1 - weight) + batch.astype(np.float16) * np.float16(weight)
    np.testing.assert_array_equal(found, each)
    assert not np.array_equal(found, (held * (1 - weight) + batch * weight).astype(np.float16))
