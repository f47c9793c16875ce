"""What is recorded of Haiku, Equinox, stax and Flax nnx is theirs: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from packaging.version import Version

EPSILON = 1e-3
RNG = np.random.default_rng(20150211)
X = RNG.normal(2, 1.5, (9, 3))
FAR = RNG.normal(1000, 1, (40, 64)).astype(np.float32)
CONSTANT = np.full((7, 64), 100, np.float32) + np.linspace(0, 1, 64, dtype=np.float32)


def need(name: str) -> Any:
    """Import a library, or skip the test."""
    pytest.importorskip("jax", reason="JAX is not installed: pip install 'batchnorm-conformance[jax]'")
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed: pip install {name}")
    return importlib.import_module(name)


def haiku_layer(x: np.ndarray, *, training: bool, trained: int = 0) -> tuple[np.ndarray, Any]:
    haiku = need("haiku")

    def call(batch: Any, *, is_training: bool) -> Any:
        return haiku.BatchNorm(create_scale=False, create_offset=False, decay_rate=0.9, eps=EPSILON)(batch, is_training)

    functions = haiku.transform_with_state(call)
    parameters, state = functions.init(None, x, is_training=True)
    for _ in range(trained):
        _, state = functions.apply(parameters, state, None, x, is_training=True)
    y, moved = functions.apply(parameters, state, None, x, is_training=training)
    return np.asarray(y), moved


def stax_layer(x: np.ndarray) -> np.ndarray:
    stax = need("jax.example_libraries.stax")
    _, apply = stax.BatchNorm(axis=(0,), center=False, scale=False, epsilon=EPSILON)
    return np.asarray(apply(((), ()), x))


def nnx_layer(x: np.ndarray, **options: Any) -> tuple[np.ndarray, Any]:
    nnx = need("flax.nnx")
    module = nnx.BatchNorm(
        x.shape[1], epsilon=EPSILON, use_scale=False, use_bias=False, use_running_average=False, rngs=nnx.Rngs(0),
        **options,
    )  # fmt: skip
    return np.asarray(module(x)), module


def exact(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    normalised: np.ndarray = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + EPSILON)
    return normalised


def error(y: np.ndarray) -> float:
    """Return how far an output of the batch far from zero is from the exact one: the root of the mean square."""
    return float(np.sqrt(np.square(y - exact(FAR)).mean()))


@pytest.mark.parametrize("library", ["haiku", "stax", "flax-nnx"])
def test_variance_takes_one_pass(library: str) -> None:
    """Far from zero the output errs as much as avg(x^2) - mean^2 in NumPy, and far more than the two-pass formula."""
    calls = {"haiku": lambda: haiku_layer(FAR, training=True)[0], "stax": lambda: stax_layer(FAR),
             "flax-nnx": lambda: nnx_layer(FAR)[0]}  # fmt: skip
    rows = np.ascontiguousarray(FAR.T)  # NumPy sums in blocks, as the libraries do, along what lies together only
    mean = rows.mean(1, keepdims=True)
    one_pass = np.square(rows).mean(1, keepdims=True) - np.square(mean)
    two_pass = np.square(rows - mean).mean(1, keepdims=True)
    one, two = (((rows - mean) / np.sqrt(var + np.float32(EPSILON))).T for var in (one_pass, two_pass))
    off = error(calls[library]())
    assert 0.5 < off / error(one) < 2
    assert off > 200 * error(two)


def test_two_passes_of_nnx_are_inside() -> None:
    """With use_fast_variance=False the same module errs a twentieth of its default."""
    truth = exact(FAR)
    fast, slow = (abs(nnx_layer(FAR, use_fast_variance=one)[0] - truth).max() for one in (True, False))
    assert slow < fast / 20


def test_negative_variance_is_not_clipped() -> None:
    """Where avg(x^2) - mean^2 of a constant channel falls below -epsilon, Haiku gives NaN, which ought to be zero."""
    assert np.isnan(haiku_layer(CONSTANT, training=True)[0]).any()
    assert abs(exact(CONSTANT)).max() < 1e-9


def test_a_new_haiku_layer_has_the_statistics_of_its_first_batch() -> None:
    """Before any training, Haiku evaluates with the statistics of the batch that init was called with."""
    y, _ = haiku_layer(X.astype(np.float32), training=False)
    np.testing.assert_allclose(y, exact(X), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types:FutureWarning")
def test_statistics_of_nnx_are_float32() -> None:
    """The statistics of a float64 module are float32, since Flax 0.12.1 also after an update with float64 ones."""
    jax, flax = need("jax"), need("flax")
    kept = "float32" if Version("0.12.1") <= Version(flax.__version__) else "float64"
    with jax.enable_x64(True):
        _, module = nnx_layer(X, dtype=np.float64, param_dtype=np.float64)
        assert {kept} == {str(module.mean[...].dtype), str(module.var[...].dtype)}


def equinox_layer(mode: str, *, trained: int) -> np.ndarray:
    equinox, jax = need("equinox"), need("jax")
    module, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(
        3, "batch", eps=EPSILON, momentum=0.9, channelwise_affine=False, mode=mode
    )
    x = X.astype(np.float32)
    for _ in range(trained):
        _, state = jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
    y, _ = jax.vmap(lambda row: module(row, state, inference=True), axis_name="batch", out_axes=(0, None))(x)
    return np.asarray(y)


def test_equinox_debiases_a_variance_that_starts_at_one() -> None:
    """After one update in mode batch, evaluating divides by (0.9 + 0.1 var) / 0.1; the mean is debiased rightly."""
    expected = (X - X.mean(0)) / np.sqrt((0.9 + 0.1 * X.var(0)) / 0.1 + EPSILON)
    np.testing.assert_allclose(equinox_layer("batch", trained=1), expected, rtol=1e-4, atol=1e-5)


def test_first_update_of_equinox_replaces() -> None:
    """After one update in mode ema, evaluating uses the statistics of that batch as they are."""
    np.testing.assert_allclose(equinox_layer("ema", trained=1), exact(X), rtol=1e-4, atol=1e-5)


def test_variance_of_a_new_equinox_layer_is_zero() -> None:
    """Before any training, mode ema divides by sqrt(epsilon)."""
    np.testing.assert_allclose(equinox_layer("ema", trained=0), X / np.sqrt(EPSILON), rtol=1e-5)
