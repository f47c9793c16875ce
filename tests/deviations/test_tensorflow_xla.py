"""What is recorded of TensorFlow under XLA is XLA's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import os
from collections.abc import Callable
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


def of_replicas(*, xla: bool) -> str:
    """Call a synchronised layer of Keras on two devices; return the error that it ends in."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras  # noqa: PLC0415  (imported where it runs: in a process apart)

    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = keras.layers.BatchNormalization(synchronized=True)
        layer.build((None, 3))

    def step() -> Any:
        return strategy.run(lambda x: layer(x, training=True), (tf.constant(FAR),))

    try:
        tf.function(step, jit_compile=xla, autograph=False)()
    except tf.errors.InvalidArgumentError as error:
        return str(error)
    return ""


def test_there_are_no_replicas(apart: Callable[..., Any]) -> None:
    """XLA takes no variables of two devices (keras-team/keras#19005): what fails compiled, works in a graph."""
    pytest.importorskip("keras", reason="keras is not installed")
    assert apart(of_replicas, xla=False) == ""
    assert "located in device" in apart(of_replicas, xla=True)
