"""What is recorded of TensorFlow under XLA is XLA's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf: Any = pytest.importorskip("tensorflow", reason="the deviations of TensorFlow are shown where it is installed")

COUNT = 40
FAR = (np.random.default_rng(20150211).normal(0, 1, (COUNT, 3)) + 1e4).astype(np.float32)


def variance(*, xla: bool) -> Any:
    """Return the sample variance that the fused kernel gives of three channels far from zero."""

    def call(x: Any) -> Any:
        return tf.compat.v1.nn.fused_batch_norm(
            x, tf.ones(3), tf.zeros(3), tf.zeros(3), tf.zeros(3), epsilon=1e-3, is_training=True,
            exponential_avg_factor=1.0,
        )  # fmt: skip

    call = tf.function(call, jit_compile=True) if xla else call
    return call(tf.constant(FAR.reshape(COUNT, 1, 1, 3)))[2].numpy()


def test_variance_takes_one_pass() -> None:
    """Under XLA the variance errs by what squares of 1e8 are rounded to, and is negative; without it is right."""
    exact = FAR.astype(np.float64).var(0, ddof=1)
    step = np.spacing(np.float32(1e8))
    off = abs(variance(xla=True) - exact)
    assert step / 8 < off.max() < COUNT * step
    assert variance(xla=True).min() < 0
    np.testing.assert_allclose(variance(xla=False), exact, rtol=1e-4)
