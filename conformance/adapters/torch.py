"""PyTorch: ``torch.nn.BatchNorm1d``, ``2d`` and ``3d``, eager."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Implementation, LayerConfig, State
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

_MODULES = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d, 5: torch.nn.BatchNorm3d}
_NAMES = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}


class Adapter(BaseAdapter):
    """One module per layer; gradients by ``torch.autograd.grad``, so that nothing accumulates."""

    def describe(self) -> Implementation:
        """Name PyTorch and its version."""
        return Implementation(
            name="torch", versions={"torch": torch.__version__},
            documentation="https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html",
        )  # fmt: skip

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the sample variance; autograd refuses the statistics and sees no update.

        Freezing is ``requires_grad_(False)``, which statistics and state take no notice of.
        """
        return Dialect(
            statistics_gradient="refused", update_gradient="detached", recomputation="again", frozen="A",
            untracked="batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse the last axis: the modules take their channels from the second one."""
        if case.channel_axis == "last" and case.layer.rank > 2:
            return "nn.BatchNorm* take the channels from the second axis only"
        if any(step.masked for step in case.steps):
            return "nn.BatchNorm* take no mask"
        if any(step.replicas is not None for step in case.steps):
            return "nn.BatchNorm* do not synchronise; torch.nn.SyncBatchNorm does, on accelerators"
        return None

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module of the layer's rank, and overwrite its parameters and buffers."""
        return _Layer(layer, state)


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.config, self.last = config, config.channel_axis == "last"
        self.module = _MODULES[config.rank](
            config.channels, eps=config.epsilon, momentum=config.momentum,
            affine=config.gamma or config.beta,
            track_running_stats=config.tracked, dtype=getattr(torch, config.param_dtype),
        )  # fmt: skip
        # Before 2.13 the constructor knew both or none.
        for name, wanted in (("weight", config.gamma), ("bias", config.beta)):
            if not wanted:
                self.module.register_parameter(name, None)
        self.set_state(state)

    def forward(self, x: Array, mode: str) -> _Forward:
        """Call the module; in train it moves its buffers."""
        before = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        leaf = self._leaf(x)
        training = mode == "train"
        return _Forward(self, training, leaf, self.module.train(training)(leaf), before)

    def forward_recomputed(self, x: Array) -> _Forward:
        """Call the module in train under ``torch.utils.checkpoint``."""
        leaf = self._leaf(x)
        output = checkpoint(self.module.train(), leaf, use_reentrant=False)
        return _Forward(self, True, leaf, output, {})

    def freeze(self) -> None:
        """Ask for no gradient of the parameters."""
        self.module.requires_grad_(False)

    def thaw(self) -> None:
        """Ask for gradients of the parameters again."""
        self.module.requires_grad_(True)

    def reload(self) -> _Layer:
        """Save the state dict to a file and load it into a new module."""
        file = io.BytesIO()
        torch.save(self.module.state_dict(), file)
        file.seek(0)
        fresh = _Layer(self.config, {})
        fresh.module.load_state_dict(torch.load(file, weights_only=True))
        return fresh

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training forward, by the input of the latter."""
        first, second = self._leaf(earlier), self._leaf(later)
        self.module.train()(first)
        y = self.module.eval()(second)
        (gradient,) = torch.autograd.grad(y, first, self.tensor(dy), allow_unused=True, materialize_grads=True)
        return self.array(gradient)

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Differentiate the gradients, multiplied by the directions: the Hessian is symmetric."""
        upstream, leaf = self._leaf(dy), self._leaf(x)
        known = {"x": leaf, "dy": upstream, "gamma": dict(self.module.named_parameters()).get("weight")}
        variables = [known[name] for name in directions]
        vectors = [self.tensor(one) if one.ndim > 1 else _to_tensor(one) for one in directions.values()]
        y = self.module.train(mode == "train")(leaf)
        first = torch.autograd.grad(y, variables, upstream, create_graph=True) if "dy" not in directions else (
            torch.autograd.grad((y * upstream).sum(), variables, create_graph=True))  # fmt: skip
        found = torch.autograd.grad(first, variables, vectors, allow_unused=True, materialize_grads=True)
        pairs = zip(directions, found, strict=True)
        return {name: _to_numpy(one) if name == "gamma" else self.array(one) for name, one in pairs}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Differentiate the gradient twice, multiplied by the direction each time."""
        leaf, v = self._leaf(x), self.tensor(direction)
        found = self.module.train(mode == "train")(leaf)
        for vector in (self._leaf(dy), v, v):
            (found,) = torch.autograd.grad(found, leaf, vector, create_graph=True, materialize_grads=True)
        return self.array(found)

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Call the module under ``torch.func.jvp``, nested for the second order.

        The transformation refuses to let a module move its own buffers; PyTorch's advice is to pass others.
        """
        v, module = self.tensor(direction), self.module.train(mode == "train")

        def derivative(given: torch.Tensor) -> Any:
            buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
            return torch.func.functional_call(module, buffers, (given,))

        found: Callable[[torch.Tensor], Any] = derivative
        for _ in range(order):
            found = _along(found, v)
        return self.array(found(self.tensor(x)))

    def get_state(self) -> State:
        """Return the two buffers."""
        buffers = dict(self.module.named_buffers())
        return {name: _to_numpy(buffers[name]) for name in ("running_mean", "running_var") if name in buffers}

    def set_state(self, state: State) -> None:
        """Overwrite parameters and buffers, in their own dtype."""
        with torch.no_grad():
            for name, tensor in [*self.module.named_parameters(), *self.module.named_buffers()]:
                if _NAMES.get(name) in state:
                    tensor.copy_(_to_tensor(state[_NAMES[name]]))

    def tensor(self, x: Array) -> torch.Tensor:
        """Return the array, its channels moved to where the case wants them."""
        return _to_tensor(x).movedim(1, -1) if self.last else _to_tensor(x)

    def _leaf(self, x: Array) -> torch.Tensor:
        return self.tensor(x).detach().requires_grad_()

    def array(self, tensor: torch.Tensor) -> Array:
        """Return the tensor in canonical layout."""
        return _to_numpy(tensor.movedim(-1, 1) if self.last else tensor)


@dataclass(frozen=True)
class _Forward:
    """One call, with its graph and copies of the buffers that it started from."""

    layer: _Layer
    training: bool
    x: torch.Tensor
    output: torch.Tensor
    before: Mapping[str, torch.Tensor]

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Differentiate the graph, which is kept for another time."""
        output, leaves = self.output, {"x": self.x, **self._parameters()}
        if not leaves.keys() >= set(wrt):
            output, leaves = self._again_with_statistics(leaves)
        upstream = self.layer.tensor(dy)
        found = torch.autograd.grad(output, [leaves[name] for name in wrt], upstream, retain_graph=True)
        gradients = dict(zip(wrt, found, strict=True))
        return {name: self.layer.array(one) if name == "x" else _to_numpy(one) for name, one in gradients.items()}

    def _parameters(self) -> dict[str, torch.Tensor]:
        return {_NAMES[name]: parameter for name, parameter in self.layer.module.named_parameters()}

    def _again_with_statistics(
        self, leaves: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Repeat the call on copies of its buffers that ask for a gradient.

        Buffers do not ask for one by themselves, and a module whose buffers do cannot even run.
        """
        module = self.layer.module
        buffers = {name: copy.clone().requires_grad_(copy.is_floating_point()) for name, copy in self.before.items()}
        output = torch.func.functional_call(module.train(self.training), buffers, (self.x,))
        return output, {**leaves, **{_NAMES[name]: one for name, one in buffers.items() if name in _NAMES}}


def _along(function: Callable[[torch.Tensor], Any], v: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    """Return the derivative of a function along ``v``, by forward mode."""
    return lambda x: torch.func.jvp(function, (x,), (v,))[1]


def _to_tensor(x: Array) -> torch.Tensor:
    """Return a tensor that lies in memory as ``x`` does, where PyTorch can express it.

    It has no negative strides: such an array is copied. That is NumPy's exchange with PyTorch, and
    no part of batch normalisation.
    """
    if any(stride < 0 for stride in x.strides):
        x = np.ascontiguousarray(x)
    if x.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def _to_numpy(tensor: torch.Tensor) -> Array:
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        array: Any = tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return np.asarray(array)
    return np.asarray(tensor.numpy())
