"""What is recorded of torch.compile is the compiler's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

import shutil
from typing import Any

import ml_dtypes
import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="the deviations of torch.compile are shown where PyTorch is installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: apt install g++"),
    pytest.mark.filterwarnings("ignore"),
]
EPSILON = 1e-3
DRAWN = 3 + np.random.default_rng(20150211).standard_normal((2, 4, 3, 7))
AXES = (0, 2)


def dgamma(given: Any, kept: Any) -> np.ndarray[Any, Any]:
    """Return the gradient of gamma with mean and 1 / s rounded to a dtype, and everything else in float64."""
    x, dy = given.astype(np.float64)
    mean = x.mean(AXES, keepdims=True).astype(kept).astype(np.float64)
    inverse = (1 / np.sqrt(x.var(AXES, keepdims=True) + EPSILON)).astype(kept).astype(np.float64)
    gradient: np.ndarray[Any, Any] = (dy * (x - mean) * inverse).sum(AXES)
    return gradient


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
def test_statistics_of_the_batch_are_kept_in(dtype: Any, compiled: bool) -> None:
    """The gradient of gamma is that with mean and 1 / s kept in the input's dtype if compiled, in float32 if not."""
    torch._dynamo.reset()
    module = torch.nn.BatchNorm1d(3, eps=EPSILON)
    call = torch.compile(module, fullgraph=True) if compiled else module
    given = DRAWN.astype(dtype)
    x, dy = torch.from_numpy(given.astype(np.float32)).to(getattr(torch, np.dtype(dtype).name))
    (found,) = torch.autograd.grad(call(x.requires_grad_()), [module.weight], dy)
    expected, other = dgamma(given, dtype), dgamma(given, np.float32)
    np.testing.assert_allclose(found.numpy(), expected if compiled else other, rtol=2e-5, atol=2e-4)
    assert abs(expected - other).max() > 5e-3
