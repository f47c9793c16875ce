"""What is recorded of PyTorch is PyTorch's: shown with plain NumPy and PyTorch's own primitives, without the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="the deviations of PyTorch are shown where it is installed")

EPSILON, MOMENTUM = 1e-3, 0.5
GAMMA = np.array([1.5, -0.75, 2.0])
X, LATER, DY = np.random.default_rng(20150211).standard_normal((3, 7, 3))
MEAN, VAR = np.array([0.5, -1.0, 0.25]), np.array([0.25, 4.0, 1.0])
MOVED_MEAN = (1 - MOMENTUM) * MEAN + MOMENTUM * LATER.mean(0)
MOVED_VAR = (1 - MOMENTUM) * VAR + MOMENTUM * LATER.var(0, ddof=1)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def gradients(mean: np.ndarray, var: np.ndarray) -> dict[str, np.ndarray]:
    """Return the gradients of ``sum(y * dy)`` of an evaluate, its statistics being constants."""
    scale = 1 / np.sqrt(var + EPSILON)
    return {"x": GAMMA * scale * DY, "gamma": (DY * (X - mean) * scale).sum(0)}


def layer() -> Any:
    module = torch.nn.BatchNorm1d(3, eps=EPSILON, momentum=MOMENTUM, dtype=torch.float64)
    with torch.no_grad():
        for tensor, values in (
            (module.weight, GAMMA), (module.running_mean, MEAN), (module.running_var, VAR),
        ):  # fmt: skip
            tensor.copy_(torch.from_numpy(values))
    return module


def differentiated(module: Any, evaluate: Callable[[Any, Any], Any], *, between: bool) -> dict[str, np.ndarray]:
    """Evaluate, train in between or not, and then differentiate what was evaluated."""
    x = torch.from_numpy(X).requires_grad_()
    y = evaluate(module, x)
    if between:
        module.train()(torch.from_numpy(LATER))
    found = torch.autograd.grad(y, [x, module.weight], torch.from_numpy(DY))
    return {name: gradient.numpy() for name, gradient in zip(("x", "gamma"), found, strict=True)}


def by_module(module: Any, x: Any) -> Any:
    return module.eval()(x)


def by_primitives(module: Any, x: Any) -> Any:
    mean, var = module.running_mean.clone(), module.running_var.clone()
    return module.weight * (x - mean) / torch.sqrt(var + EPSILON) + module.bias


def by_function(module: Any, x: Any) -> Any:
    return torch.nn.functional.batch_norm(
        x, module.running_mean, module.running_var, module.weight, module.bias, training=False, eps=EPSILON
    )


def by_function_on_copies(module: Any, x: Any) -> Any:
    return torch.nn.functional.batch_norm(
        x, module.running_mean.clone(), module.running_var.clone(), module.weight, module.bias,
        training=False, eps=EPSILON,
    )  # fmt: skip


EVALUATIONS = [by_module, by_function, by_primitives, by_function_on_copies]


@pytest.mark.parametrize("evaluate", EVALUATIONS)
@pytest.mark.parametrize("name", ["x", "gamma"])
def test_without_training_in_between(evaluate: Callable[[Any, Any], Any], name: str) -> None:
    """A backward right after its evaluate is that of the statistics used."""
    found = differentiated(layer(), evaluate, between=False)
    np.testing.assert_allclose(found[name], gradients(MEAN, VAR)[name], **CLOSE)


@pytest.mark.parametrize("evaluate", [by_module, by_function])
@pytest.mark.parametrize("name", ["x", "gamma"])
def test_training_in_between_changes_the_gradient(evaluate: Callable[[Any, Any], Any], name: str) -> None:
    """With a training forward in between, the gradient is that of the statistics which it left."""
    found = differentiated(layer(), evaluate, between=True)
    np.testing.assert_allclose(found[name], gradients(MOVED_MEAN, MOVED_VAR)[name], **CLOSE)
    assert np.abs(found[name] - gradients(MEAN, VAR)[name]).max() > 0.1


@pytest.mark.parametrize("evaluate", [by_primitives, by_function_on_copies])
@pytest.mark.parametrize("name", ["x", "gamma"])
def test_copies_of_the_buffers_restore_it(evaluate: Callable[[Any, Any], Any], name: str) -> None:
    """On copies of the statistics, by primitives or by the same kernel, the gradient is right."""
    found = differentiated(layer(), evaluate, between=True)
    np.testing.assert_allclose(found[name], gradients(MEAN, VAR)[name], **CLOSE)


def test_autograd_does_not_notice() -> None:
    """A training forward moves the buffers and not their version counters, by which autograd tells a stale tensor."""
    module = layer()
    versions = [buffer._version for buffer in (module.running_mean, module.running_var)]
    module.train()(torch.from_numpy(LATER))
    np.testing.assert_allclose(module.running_mean.numpy(), MOVED_MEAN, **CLOSE)
    np.testing.assert_allclose(module.running_var.numpy(), MOVED_VAR, **CLOSE)
    assert versions == [buffer._version for buffer in (module.running_mean, module.running_var)]


def test_autograd_notices_any_other_change() -> None:
    """A buffer that is changed in place by an ordinary operation makes the same backward raise."""
    module, x = layer(), torch.from_numpy(X).requires_grad_()
    y = by_module(module, x)
    module.running_var.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y, x, torch.from_numpy(DY))


def dbeta(*, x_last: bool, dy_last: bool) -> tuple[Any, Any]:
    """Return the gradient of a float32 beta for bfloat16 input, and the exact sum of the upstream one."""
    rng = np.random.default_rng(20150211)
    x, dy = (torch.from_numpy(rng.standard_normal((5, 3, 2, 4))).to(torch.bfloat16) for _ in range(2))
    order = {False: torch.contiguous_format, True: torch.channels_last}
    module = torch.nn.BatchNorm2d(3).eval()
    y = module(x.contiguous(memory_format=order[x_last]))
    (found,) = torch.autograd.grad(y, [module.bias], dy.contiguous(memory_format=order[dy_last]))
    return found, dy.double().sum((0, 2, 3))


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels-last"])
def test_in_one_layout_the_gradient_of_beta_is_float32(last: bool) -> None:
    """Where input and upstream gradient lie in memory alike, the sum is that of float32."""
    found, exact = dbeta(x_last=last, dy_last=last)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels-last"])
def test_in_two_layouts_the_gradient_of_beta_is_rounded_to_bfloat16(last: bool) -> None:
    """Where they do not, the gradient is float32 by its dtype and the exact sum rounded to bfloat16 by its value."""
    found, exact = dbeta(x_last=last, dy_last=not last)
    assert torch.float32 == found.dtype
    assert torch.equal(exact.to(torch.bfloat16).float(), found)
    assert (found.double() - exact).abs().max() > 1e-4


def test_synchronised_replicas_take_an_accelerator() -> None:
    """In a process group SyncBatchNorm refuses to train on a CPU: no replicas are asked of PyTorch here."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("this build of PyTorch has no process groups")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="expected input tensor to be on GPU"):
            torch.nn.SyncBatchNorm(3)(torch.zeros(4, 3))
    finally:
        distributed.destroy_process_group()


def test_without_a_process_group_nothing_is_synchronised() -> None:
    """Alone, SyncBatchNorm is the plain layer."""
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.nn.BatchNorm1d(3)(x), torch.nn.SyncBatchNorm(3)(x))
