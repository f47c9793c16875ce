"""What is recorded of Keras on JAX is Keras': shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("keras", "jax"))),
    reason="the deviations of Keras on JAX are shown where both are installed",
)
EPSILON = 1e-3
X = np.random.default_rng(20150211).normal(1, 2, (9, 4))
EXACT = (X - X.mean(0)) / np.sqrt(X.var(0) + EPSILON)


def trained(*, promoted: bool) -> Any:
    """Train a float64 layer, ``result_type`` being Keras' own, or one that has float64 in it."""
    os.environ["KERAS_BACKEND"] = "jax"
    from keras.src.layers.normalization import batch_normalization as source  # noqa: PLC0415

    own = source.backend.result_type
    if promoted:
        source.backend.result_type = lambda *_: "float64"
    try:
        return np.asarray(source.BatchNormalization(epsilon=EPSILON, dtype="float64")(X, training=True))
    finally:
        source.backend.result_type = own


def test_float64_is_computed_in_float32(apart: Callable[..., Any]) -> None:
    """The output of a float64 layer is float64 numbers of float32 precision."""
    y = apart(trained, promoted=False)
    assert np.float64 == y.dtype
    np.testing.assert_array_equal(y.astype(np.float32), y)
    assert 1e-8 < abs(y - EXACT).max() < 1e-6


def test_promotion_alone_is_at_fault(apart: Callable[..., Any]) -> None:
    """With a promotion that leaves float64 as it is, the same layer is right to the last bits."""
    np.testing.assert_allclose(apart(trained, promoted=True), EXACT, rtol=1e-12, atol=1e-14)
