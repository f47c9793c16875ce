"""Proofs of the recorded deviations of Keras on TensorFlow, without the oracle."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="Keras is not installed: pip install 'batchnorm-conformance[tensorflow]'")


Trained: TypeAlias = tuple[Any, Any, Any, Any]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Train a float64 layer with momentum 0 (Keras' own) on a masked batch; return batch, mask and statistics."""
    random = np.random.default_rng(7)
    x, mask = random.normal(2.0, 1.5, size=(9, 4)), np.array([1, 1, 0, 1, 0, 1, 1, 1, 0], dtype=bool)
    layer = keras.layers.BatchNormalization(momentum=0.0, dtype="float64")
    layer(x, training=True, mask=mask)
    return x, mask, np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)


def test_padded_count_reproduces_the_masked_mean(trained: Trained) -> None:
    """The masked mean is the sum over the count plus 1e-7, to the last bits of float64."""
    x, mask, mean, _ = trained
    np.testing.assert_allclose(mean, x[mask].sum(axis=0) / (mask.sum() + 1e-7), rtol=1e-14)


def test_plain_count_does_not_reproduce_the_masked_mean(trained: Trained) -> None:
    """The masked mean is not the mean of the values let in: it is too small by 1e-7 of a count."""
    x, mask, mean, _ = trained
    expected = 1e-7 / mask.sum()
    np.testing.assert_allclose(1 - mean / x[mask].mean(axis=0), expected, rtol=1e-4)


def test_padded_count_reproduces_the_masked_variance(trained: Trained) -> None:
    """The masked variance is the sum of squares around that mean over the count plus 1e-7."""
    x, mask, mean, variance = trained
    expected = ((x[mask] - mean) ** 2).sum(axis=0) / (mask.sum() + 1e-7)
    np.testing.assert_allclose(variance, expected, rtol=1e-14)
