"""What is recorded of Keras on PyTorch is Keras': shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("keras", "torch"))),
    reason="the deviations of Keras on PyTorch are shown where both are installed",
)
RNG = np.random.default_rng(20150211)
X = RNG.normal(1, 2, (9, 4))
CONSTANT = np.full((7, 64), 100, np.float32) + np.linspace(0, 1, 64, dtype=np.float32)
FAR = RNG.normal(1000, 1, (9, 4)).astype(np.float32)


def trained() -> Any:
    """Train a float64 layer."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras  # noqa: PLC0415

    return keras.layers.BatchNormalization(epsilon=1e-3, dtype="float64")(X, training=True).detach().cpu().numpy()


def variances() -> tuple[Any, Any]:
    """Return the variance of ``keras.ops.moments``, and ``avg(x^2) - mean^2`` by PyTorch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras  # noqa: PLC0415
    import torch  # noqa: PLC0415

    x = torch.from_numpy(FAR)
    one_pass = torch.mean(torch.square(x), 0) - torch.square(torch.mean(x, 0))
    return keras.ops.moments(x, axes=[0])[1].numpy(), one_pass.numpy()


def test_float64_is_computed_in_float32(apart: Callable[..., Any]) -> None:
    """The output of a float64 layer is float64 numbers of float32 precision."""
    y = apart(trained)
    exact = (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-3)
    assert np.float64 == y.dtype
    np.testing.assert_array_equal(y.astype(np.float32), y)
    assert 1e-8 < abs(y - exact).max() < 1e-6


def of_constants() -> Any:
    """Train on channels each of one value around 100."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras  # noqa: PLC0415

    return keras.layers.BatchNormalization(epsilon=1e-5)(CONSTANT, training=True).detach().cpu().numpy()


def test_negative_variance_is_not_clipped(apart: Callable[..., Any]) -> None:
    """Where avg(x^2) - mean^2 of a constant channel falls below -epsilon, the output is NaN; it ought to be zero."""
    assert np.isnan(apart(of_constants)).any()


def test_variance_takes_one_pass(apart: Callable[..., Any]) -> None:
    """The variance is avg(x^2) - mean^2, bit for bit, and off by percents where the mean is a thousand deviations."""
    found, one_pass = apart(variances)
    np.testing.assert_array_equal(one_pass, found)
    exact = FAR.astype(np.float64).var(0)
    assert abs(found / exact - 1).max() > 0.02
    np.testing.assert_allclose(np.square(FAR - FAR.mean(0)).mean(0), exact, rtol=1e-4)
