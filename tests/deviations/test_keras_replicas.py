"""Proof of the recorded deviation of Keras' synchronised statistics, without the oracle."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

LIBRARIES = ("keras", "tf_keras")
#: Two rows for each of two replicas, 3000 standard deviations from zero: sums of two have one order.
PARTS = np.float32(3000) + np.random.default_rng(3).normal(size=(2, 2, 5)).astype(np.float32)

Apart: TypeAlias = Callable[..., Any]


def variance_of_batch(library: str, *, synchronized: bool) -> Any:
    """Return the running variance that one step of momentum 0 (Keras' own) leaves, on two replicas or joined."""
    import tensorflow as tf  # noqa: PLC0415  (imported where it runs: in a process apart)

    os.environ["KERAS_BACKEND"] = "tensorflow"
    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    kind = importlib.import_module(library).layers.BatchNormalization
    if not synchronized:
        layer = kind(momentum=0.0)
        layer(tf.constant(PARTS.reshape(4, 5)), training=True)
        return np.asarray(layer.moving_variance)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = kind(momentum=0.0, synchronized=True)
        layer.build((None, 5))
    replicas = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(PARTS[context.replica_id_in_sync_group])
    )
    strategy.run(lambda x: layer(x, training=True), (replicas,))
    return layer.moving_variance.numpy()


def two_pass() -> Any:
    """Return the population variance of all rows, in float64."""
    return PARTS.reshape(4, 5).astype(np.float64).var(axis=0)


def one_pass() -> Any:
    """Return ``avg(x^2) - mean^2`` in float32: sums of each replica, then of both."""
    mean, square = (part.sum(axis=1, dtype=np.float32).sum(axis=0) / np.float32(4) for part in (PARTS, PARTS * PARTS))
    return np.maximum(square - mean * mean, 0)


@pytest.mark.parametrize("library", LIBRARIES)
def test_synchronised_variance_is_the_one_pass_one(apart: Apart, library: str) -> None:
    """The running variance of two replicas is that of ``avg(x^2) - mean^2`` in float32, bit for bit."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    np.testing.assert_array_equal(one_pass(), apart(variance_of_batch, library, synchronized=True))


def test_one_pass_variance_is_not_that_of_the_batch() -> None:
    """At that distance from zero the formula is off by more than a hundredth of the variance in every channel."""
    assert (np.abs(one_pass() / two_pass() - 1) > 0.01).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_same_rows_in_one_batch_have_their_variance(apart: Apart, library: str) -> None:
    """Without replicas the same layer has the population variance of the same rows, to float32."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    np.testing.assert_allclose(apart(variance_of_batch, library, synchronized=False), two_pass(), rtol=1e-3)
