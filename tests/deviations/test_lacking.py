"""What adapters do not offer is lacking in the frameworks themselves: shown without the suite."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

Apart: TypeAlias = Callable[..., Any]
X, V = np.random.default_rng(20150211).standard_normal((2, 5, 3))
SITE = {
    "mlx": "mlx.nn", "tinygrad": "tinygrad.nn", "paddle": "paddle.nn", "equinox": "equinox.nn", "haiku": "haiku",
    "torch": "torch.nn",
}  # fmt: skip
NAMES = {"paddle": "BatchNorm1D", "torch": "BatchNorm1d"}


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def said(act: Callable[[], Any]) -> str:
    """Return the error that the call ends in, as text: not every one can be sent to another process."""
    try:
        act()
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return ""


def paddle_replicas() -> str:
    import paddle  # noqa: PLC0415

    paddle.set_device("cpu")
    return said(lambda: paddle.nn.SyncBatchNorm(3)(paddle.to_tensor(X, "float32")))


def paddle_forward_mode(*, train: bool) -> str:
    import paddle  # noqa: PLC0415

    paddle.set_device("cpu")
    paddle.set_default_dtype("float64")
    module = paddle.nn.BatchNorm1D(3)
    (module.train if train else module.eval)()
    jvp, given = paddle.incubate.autograd.jvp, (paddle.to_tensor(X), paddle.to_tensor(V))
    linear = jvp(lambda x: 2 * x, *given)[1].numpy()
    np.testing.assert_allclose(linear, 2 * V)
    return said(lambda: jvp(module, *given))


def keras_replicas(backend: str) -> str:
    os.environ["KERAS_BACKEND"] = backend
    return said(lambda: importlib.import_module("keras").layers.BatchNormalization(synchronized=True))


def error_function() -> float:
    """Return how far MLX' error function of float64 numbers is off."""
    import mlx.core as mx  # noqa: PLC0415

    mx.set_default_device(mx.cpu)
    found = np.array(mx.erf(mx.array(X, dtype=mx.float64)))
    return float(np.abs(found - np.vectorize(math.erf)(X)).max())


def arguments(package: str) -> list[str]:
    """Return the names of the arguments that a call of the framework's batch norm takes."""
    kind = getattr(importlib.import_module(SITE[package]), NAMES.get(package, "BatchNorm"))
    called = next(getattr(kind, name) for name in ("forward", "call", "__call__") if hasattr(kind, name))
    return list(inspect.signature(called).parameters)


def exported_by(package: str) -> bool:
    return any("export" in name for name in dir(importlib.import_module(package)))


def test_paddle_synchronises_no_processors(apart: Apart) -> None:
    """Paddle's SyncBatchNorm has no kernel for a processor."""
    needs("paddle")
    assert "`sync_batch_norm` is not registered" in apart(paddle_replicas)


@pytest.mark.parametrize("train", [True, False])
def test_paddle_pushes_nothing_through_a_batch_norm(apart: Apart, train: bool) -> None:
    """Paddle's forward mode, two backwards, fails on a batch norm in either mode, and works on a product."""
    needs("paddle")
    assert "InvalidArgument" in apart(paddle_forward_mode, train=train)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_synchronises_on_tensorflow_alone(apart: Apart, backend: str) -> None:
    """On other backends Keras refuses the argument."""
    needs("keras")
    needs(backend)
    assert "ValueError" in apart(keras_replicas, backend)


def test_mlx_computes_the_error_function_in_float32(apart: Apart) -> None:
    """Of float64 numbers, too (ml-explore/mlx#3047), and GELU is made of it."""
    needs("mlx")
    assert apart(error_function) > 1e-9


@pytest.mark.parametrize("package", ["mlx", "tinygrad", "paddle", "equinox", "haiku", "torch"])
def test_a_call_has_no_argument_for_a_mask(apart: Apart, package: str) -> None:
    """A batch norm is called on its input, a mode or a state, and no mask."""
    needs(package)
    names = apart(arguments, package)
    assert len(names) >= 2, names  # itself and the input
    assert not [name for name in names if "mask" in name]


def test_tinygrad_exports_nothing(apart: Apart) -> None:
    """The package has nothing to export a model by."""
    needs("tinygrad")
    assert not apart(exported_by, "tinygrad")
