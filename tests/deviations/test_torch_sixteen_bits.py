"""PyTorch layers with 16-bit parameters round what they compute with: shown with plain NumPy, bit for bit."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="the deviations of PyTorch are shown where it is installed")

EPSILON = 1e-3
CHANNELS, AXES = 16, (0, 2, 3)
SHAPE = (5, CHANNELS, 2, 4)
DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
#: The weight of the batch: one that 16 bits hold badly, and whose rest they hold otherwise.
MOMENTUM = 0.9


def drawn(dtype: Any) -> dict[str, np.ndarray]:
    """Return input, upstream gradient, parameters and state, of numbers that the dtype has."""
    rng = np.random.default_rng(20150211)
    x, dy = rng.standard_normal((2, *SHAPE)) + 0.5
    gamma, beta, mean = rng.standard_normal((3, CHANNELS))
    named = {"x": x, "dy": dy, "gamma": gamma, "beta": beta, "mean": mean, "var": rng.uniform(0.5, 2, CHANNELS)}
    return {name: array.astype(dtype).astype(np.float64) for name, array in named.items()}


def trained(given: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Train one step; return output, gradients and state as PyTorch has them."""
    held = {key: torch.from_numpy(array).to(getattr(torch, name)) for key, array in given.items()}
    for key in ("x", "gamma"):
        held[key].requires_grad_()
    mean, var = held["mean"].clone(), held["var"].clone()
    y = torch.nn.functional.batch_norm(
        held["x"], mean, var, held["gamma"], held["beta"], training=True, momentum=MOMENTUM, eps=EPSILON
    )
    dx, dgamma = torch.autograd.grad(y, [held["x"], held["gamma"]], held["dy"])
    found = {"y": y.detach(), "dx": dx, "dgamma": dgamma, "mean": mean, "var": var}
    return {key: tensor.double().numpy() for key, tensor in found.items()}


def normalised(given: dict[str, np.ndarray], kept: Any) -> dict[str, np.ndarray]:
    """Return output and gradients in float64, with mean and 1 / s rounded to a dtype, in bfloat16 the variance too."""
    x, dy, gamma = given["x"], given["dy"], spread(given["gamma"])
    mean = x.mean(AXES, keepdims=True).astype(kept).astype(np.float64)
    inverse = (1 / np.sqrt(variance(x, kept) + EPSILON)).astype(kept).astype(np.float64)
    xhat = (x - mean) * inverse
    through = dy.mean(AXES, keepdims=True) + xhat * (dy * xhat).mean(AXES, keepdims=True)
    return {"y": gamma * xhat + spread(given["beta"]), "dx": gamma * inverse * (dy - through),
            "dgamma": (dy * xhat).sum(AXES)}  # fmt: skip


def variance(x: np.ndarray, kept: Any) -> np.ndarray:
    """Return the variance; that of bfloat16 is a rounded quotient of the rounded sum of squares."""
    exact, n = x.var(AXES, keepdims=True), x.size // CHANNELS
    return exact if kept is not ml_dtypes.bfloat16 else ((exact * n).astype(kept) / kept(n)).astype(np.float64)


def spread(values: np.ndarray) -> np.ndarray:
    return values.reshape(1, CHANNELS, 1, 1)


def equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], dtype: Any) -> dict[str, bool]:
    return {name: np.array_equal(array.astype(dtype), found[name].astype(dtype)) for name, array in expected.items()}


@pytest.mark.parametrize("name", DTYPES)
def test_statistics_of_the_batch_have_the_dtype_of_the_parameters(name: str) -> None:
    """Output and gradients are those with mean and 1 / s rounded to the dtype, bit for bit, and no others."""
    given, dtype = drawn(DTYPES[name]), DTYPES[name]
    found = trained(given, name)
    assert {"y": True, "dx": True, "dgamma": True} == equal(found, normalised(given, dtype), dtype)
    exact = equal(found, normalised(given, np.float64), dtype)
    assert not exact["y"]
    assert not exact["dx"]


def trained_under_vmap(given: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Train one step of two layers alike; return output and input gradient of the first."""
    stacked = {key: torch.from_numpy(np.stack([array, array])).to(getattr(torch, name)) for key, array in given.items()}

    def call(x: Any, gamma: Any, beta: Any, mean: Any, var: Any, dy: Any) -> Any:
        y = torch.nn.functional.batch_norm(x, mean, var, gamma, beta, training=True, momentum=MOMENTUM, eps=EPSILON)
        return (y * dy).sum(), y

    order = [stacked[key] for key in ("x", "gamma", "beta", "mean", "var", "dy")]
    dx, y = torch.vmap(torch.func.grad(call, has_aux=True))(*order)
    return {"y": y[0].double().numpy(), "dx": dx[0].double().numpy()}


def composed(given: dict[str, np.ndarray], kept: Any, dtype: Any) -> dict[str, np.ndarray]:
    """Return what ``normalised`` does, with gamma and beta applied by 16-bit operations of their own."""
    plain = {**given, "gamma": np.ones(CHANNELS), "beta": np.zeros(CHANNELS)}
    gamma, beta = spread(given["gamma"]).astype(dtype), spread(given["beta"]).astype(dtype)
    y = normalised(plain, kept)["y"].astype(dtype) * gamma + beta
    dy = (given["dy"].astype(dtype) * gamma).astype(np.float64)
    return {"y": y.astype(np.float64), "dx": normalised({**plain, "dy": dy}, kept)["dx"]}


@pytest.mark.parametrize("name", DTYPES)
def test_under_vmap_gamma_and_beta_are_operations_of_their_own(name: str) -> None:
    """Output and input gradient are those with a rounding after each operation, bit for bit, and no others."""
    given, dtype = drawn(DTYPES[name]), DTYPES[name]
    found = trained_under_vmap(given, name)
    assert {"y": True, "dx": True} == equal(found, composed(given, dtype, dtype), dtype)
    for other in (normalised(given, dtype), composed(given, np.float64, dtype)):
        assert not equal(found, {"y": other["y"]}, dtype)["y"]


def once(given: dict[str, np.ndarray], dtype: Any) -> dict[str, np.ndarray]:
    """Return the state blended in float64 and rounded at the end."""
    x = given["x"]
    blended = {"mean": x.mean(AXES), "var": x.var(AXES, ddof=1)}
    return {name: ((1 - MOMENTUM) * given[name] + MOMENTUM * new).astype(dtype) for name, new in blended.items()}


def each(given: dict[str, np.ndarray], dtype: Any) -> dict[str, np.ndarray]:
    """Return the state with the momentum, its rest, and the products of the blend rounded to the dtype.

    The sum of squares is rounded, and so is its quotient by n - 1, but not the product of that with the momentum.
    """
    x, weight = given["x"], dtype(MOMENTUM)
    kept, n = dtype(1) - weight, x.size // CHANNELS
    mean = weight * x.mean(AXES).astype(dtype) + kept * given["mean"].astype(dtype)
    estimate = (x.var(AXES) * n).astype(dtype) / dtype(n - 1)
    var = np.float32(weight) * estimate.astype(np.float32) + (kept * given["var"].astype(dtype)).astype(np.float32)
    return {"mean": mean.astype(np.float64), "var": var.astype(dtype)}


@pytest.mark.parametrize(("name", "rounds_each"), [("bfloat16", True), ("float16", False)])
def test_a_bfloat16_state_is_blended_in_bfloat16(name: str, rounds_each: bool) -> None:
    """The bfloat16 state is that of rounded products, bit for bit; the float16 one is rounded once."""
    given, dtype = drawn(DTYPES[name]), DTYPES[name]
    found = trained(given, name)
    assert {"mean": rounds_each, "var": rounds_each} == equal(found, each(given, dtype), dtype)
    assert {"mean": not rounds_each, "var": not rounds_each} == equal(found, once(given, dtype), dtype)
