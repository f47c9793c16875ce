"""What is recorded of Flax is Flax's: its formulas in plain NumPy err as it does; the truth is in fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

REASON = "the deviations of Flax are shown where it is installed"
jax: Any = pytest.importorskip("jax", reason=REASON)
linen: Any = pytest.importorskip("flax.linen", reason=REASON)

EPSILON = 1e-3
#: Means in standard deviations, as in the cases.
OFFSETS = (100.0, 1000.0)
BATCHES = range(8)


def batch(offset: float, seed: int, n: int = 40) -> np.ndarray:
    """Return a float32 batch of one channel, of standard deviation 1."""
    return (np.random.default_rng(seed).standard_normal(n) + offset).astype(np.float32)


def exact(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return output and population variance, by exact sums of what the float32 numbers are."""
    values = [Fraction(float(value)) for value in x]
    mean = sum(values, Fraction()) / len(values)
    var = sum(((value - mean) ** 2 for value in values), Fraction()) / len(values)
    return np.array([float(value - mean) for value in values]) / np.sqrt(float(var) + EPSILON), float(var)


def normalised(x: np.ndarray, var: Any) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(var + np.float32(EPSILON))


def one_pass(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Repeat Flax's default in NumPy: the average of squares less the square of the average."""
    var = np.maximum(np.square(x).mean() - np.square(x.mean()), np.float32(0))
    return normalised(x, var), float(var)


def two_pass(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Average the squared deviations, in NumPy."""
    var = np.square(x - x.mean()).mean()
    return normalised(x, var), float(var)


def flax(x: np.ndarray, *, fast: bool) -> tuple[np.ndarray, float]:
    """Train on the batch from variance 0, momentum replacing it: output and variance are Flax's own."""
    module = linen.BatchNorm(
        use_running_average=False, momentum=0.0, epsilon=EPSILON, use_scale=False, use_bias=False,
        use_fast_variance=fast,
    )  # fmt: skip
    state = {"batch_stats": {"mean": np.zeros(1, np.float32), "var": np.zeros(1, np.float32)}}
    y, moved = module.apply(state, x[:, None], mutable=["batch_stats"])
    return np.asarray(y)[:, 0], float(moved["batch_stats"]["var"][0])


def errors(formula: Any, offset: float, **options: Any) -> tuple[float, float]:
    """Return the median over batches of the largest error of the output, and of the error of the variance."""
    output, variance = [], []
    for seed in BATCHES:
        x = batch(offset, seed)
        (y, var), (true_y, true_var) = formula(x, **options), exact(x)
        output.append(np.abs(y - true_y).max())
        variance.append(abs(var - true_var) / true_var)
    return float(np.median(output)), float(np.median(variance))


@pytest.mark.parametrize("offset", OFFSETS)
def test_one_pass_cancels(offset: float) -> None:
    """In NumPy too, one pass errs by a factor of the mean more than two passes do, in output and variance."""
    (poor_y, poor_var), (good_y, good_var) = errors(one_pass, offset), errors(two_pass, offset)
    assert poor_y > offset / 20 * good_y
    assert poor_var > offset / 20 * good_var


@pytest.mark.parametrize("offset", OFFSETS)
def test_flax_errs_as_one_pass_does(offset: float) -> None:
    """Flax's default errs as one pass in NumPy does, within the luck of the rounding, and far more than two passes."""
    for seen, poor, good in zip(
        errors(flax, offset, fast=True), errors(one_pass, offset), errors(two_pass, offset), strict=True
    ):
        assert poor / 10 < seen < poor * 10
        assert seen > offset / 20 * good


@pytest.mark.parametrize("offset", OFFSETS)
def test_flax_can_do_better(offset: float) -> None:
    """With ``use_fast_variance=False`` Flax errs as two passes in NumPy do."""
    for seen, good in zip(errors(flax, offset, fast=False), errors(two_pass, offset), strict=True):
        assert seen < 10 * good


def evaluated(x: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Evaluate a float64 layer before any training; return output and state."""
    with jax.enable_x64(True):
        module = linen.BatchNorm(
            use_running_average=True, epsilon=EPSILON, use_scale=False, use_bias=False,
            dtype=np.float64, param_dtype=np.float64,
        )  # fmt: skip
        variables = module.init(jax.random.key(0), x)
        return np.asarray(module.apply(variables, x)), dict(variables["batch_stats"])


def test_the_initial_state_is_float32() -> None:
    """Mean and variance of a float64 layer start in float32."""
    _, state = evaluated(np.zeros((2, 3)))
    assert {"mean": "float32", "var": "float32"} == {name: leaf.dtype.name for name, leaf in state.items()}


def test_it_costs_the_output_its_precision() -> None:
    """The factor of the float64 output is 1 / sqrt(1 + epsilon) in float32, and no more precise than that."""
    x = np.random.default_rng(20150211).standard_normal((5, 3))
    y, _ = evaluated(x)
    assert "float64" == y.dtype.name
    factor = y / x
    rounded = factor.astype(np.float32)
    np.testing.assert_allclose(factor, rounded.astype(np.float64), rtol=1e-15)
    in_float32 = np.float32(1 / np.sqrt(np.float64(np.float32(1) + np.float32(EPSILON))))
    np.testing.assert_array_max_ulp(rounded, np.full_like(rounded, in_float32), 1)
    assert np.abs(factor * np.sqrt(1 + EPSILON) - 1).min() > 1e-9


def gradient(x: np.ndarray, dy: np.ndarray, *, cast_once: bool, fast: bool) -> np.ndarray:
    """Return ``dx`` of a training call on 16-bit input, or on that input cast to float32 outside the layer."""
    module = linen.BatchNorm(
        use_running_average=False, epsilon=EPSILON, use_scale=False, use_bias=False,
        dtype=np.float32 if cast_once else x.dtype, use_fast_variance=fast,
    )  # fmt: skip
    state = {"batch_stats": {"mean": np.zeros(1, np.float32), "var": np.ones(1, np.float32)}}

    def call(given: Any) -> Any:
        given = given.astype(np.float32) if cast_once else given
        return module.apply(state, given, mutable=["batch_stats"])[0].astype(x.dtype)

    _, pullback = jax.vjp(call, x[:, None])
    return np.asarray(pullback(jax.numpy.asarray(dy)[:, None])[0])[:, 0]


def gradient_terms(x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two terms of ``dx`` in float64: that of the output, and that of the statistics."""
    wide, upstream = x.astype(np.float64), dy.astype(np.float64)
    s = np.sqrt(wide.var() + EPSILON)
    xhat = (wide - wide.mean()) / s
    return upstream / s, -(upstream.mean() + xhat * (upstream * xhat).mean()) / s


@pytest.mark.parametrize("fast", [True, False], ids=["one-pass", "two-pass"])
@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16], ids=["bfloat16", "float16"])
def test_flax_adds_up_16_bit_gradient_terms(dtype: Any, *, fast: bool) -> None:
    """The gradient of 16-bit input is the sum of two terms, each rounded; cast once, it is rounded at the end only."""
    unit = float(ml_dtypes.finfo(dtype).eps) / 2
    worst, equal = [], []
    for seed in BATCHES:
        x, dy = np.random.default_rng(seed).standard_normal((2, 40)).astype(dtype)
        direct, statistics = gradient_terms(x, dy)
        allowed = 1.2 * unit * np.abs(direct + statistics)  # one rounding, and what float32 adds to it
        once = gradient(x, dy, cast_once=True, fast=fast).astype(np.float64)
        assert (np.abs(once - direct - statistics) <= allowed).all()
        seen = gradient(x, dy, cast_once=False, fast=fast)
        worst.append((np.abs(seen.astype(np.float64) - direct - statistics) / allowed).max())
        equal.append((seen == direct.astype(dtype) + statistics.astype(dtype)).mean())
    assert max(worst) > 5
    assert np.mean(equal) > 0.98


def test_the_first_update_multiplies_the_old_state_in_float32() -> None:
    """The running variance of a float64 layer is the float32 product of kept weight and 1, plus the exact variance."""
    momentum = 0.1
    x = np.random.default_rng(20150211).standard_normal((7, 3))
    with jax.enable_x64(True):
        module = linen.BatchNorm(
            use_running_average=False, momentum=1 - momentum, use_scale=False, use_bias=False, use_fast_variance=False,
            dtype=np.float64, param_dtype=np.float64,
        )  # fmt: skip
        _, moved = module.apply(module.init(jax.random.key(0), x), x, mutable=["batch_stats"])
        seen = np.asarray(moved["batch_stats"]["var"])
    assert "float64" == seen.dtype.name
    kept = np.float64(np.float32(1 - momentum) * np.float32(1))
    np.testing.assert_allclose(seen, kept + momentum * x.var(0), rtol=1e-15)
    assert np.abs(seen - (1 - momentum) - momentum * x.var(0)).min() > 1e-8


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_the_state_beside_16_bit_parameters_is_float32(dtype: Any) -> None:
    """A layer with 16-bit parameters makes a float32 state, and its first update leaves it so."""
    module = linen.BatchNorm(use_running_average=False, dtype=dtype, param_dtype=dtype)
    x = np.zeros((2, 3), dtype)
    variables = module.init(jax.random.key(0), x)
    _, moved = module.apply(variables, x, mutable=["batch_stats"])
    assert {np.dtype(dtype)} == {leaf.dtype for leaf in variables["params"].values()}
    for state in (variables, moved):
        assert {"mean": "float32", "var": "float32"} == {k: leaf.dtype.name for k, leaf in state["batch_stats"].items()}
