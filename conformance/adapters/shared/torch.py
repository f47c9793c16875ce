"""PyTorch's layers behind the contract, whatever is called: state, gradients, higher derivatives, arrays."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from conformance.adapters.contract import Array, LayerConfig, State
from conformance.adapters.shared.device import pin_torch
from conformance.corpus.case import Case

__all__ = ["Forward", "Layer", "ModuleLayer", "along", "build_module", "to_numpy", "to_tensor", "unsupported"]

_MODULES = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d, 5: torch.nn.BatchNorm3d}
_NAMES = {"weight": "gamma", "bias": "beta"}
_DEVICE = pin_torch(torch)

#: Tensors by the names of the contract; the counter of batches keeps PyTorch's.
Tensors = Mapping[str, torch.Tensor]


def unsupported(case: Case) -> str | None:
    """Say what no batch norm of PyTorch has: the last axis, masks, synchronisation without accelerators."""
    if case.channel_axis == "last" and case.layer.rank > 2:
        return "batch norms of PyTorch take the channels from the second axis only"
    if any(step.masked for step in case.steps):
        return "batch norms of PyTorch take no mask"
    if any(step.replicas is not None for step in case.steps):
        return "nn.BatchNorm* do not synchronise; torch.nn.SyncBatchNorm does, on accelerators"
    return _before_2(case) if int(torch.__version__.partition(".")[0]) < 2 else None


def _before_2(case: Case) -> str | None:
    """Say what PyTorch 1 lacks."""
    if case.layer.dtype == "float16":
        return "PyTorch 1 has no batch_norm for float16 on a processor"
    if any(step.jvp for step in case.steps):
        return "torch.func, by which forward mode is asked, came with PyTorch 2"
    return None


class Layer(ABC):
    """One layer: ``parameters``, ``buffers`` and ``call`` are what an adapter has to say."""

    def __init__(self, config: LayerConfig) -> None:
        self.config, self.last = config, config.channel_axis == "last"

    @property
    @abstractmethod
    def parameters(self) -> Tensors:
        """Return ``gamma`` and ``beta``, those that the layer has."""

    @property
    @abstractmethod
    def buffers(self) -> Tensors:
        """Return ``running_mean``, ``running_var`` and what counts the batches, those that the layer has."""

    @abstractmethod
    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> torch.Tensor:
        """Call the layer, with other buffers than its own if some are given."""

    def forward(self, x: Array, mode: str) -> Forward:
        """Call the layer; in train it moves its buffers."""
        before = {name: buffer.clone() for name, buffer in self.buffers.items()}
        leaf = self.leaf(x)
        return Forward(self, mode, leaf, self.call(leaf, mode), before)

    def forward_recomputed(self, x: Array) -> Forward:
        """Call the layer in train under ``torch.utils.checkpoint``."""
        leaf = self.leaf(x)
        return Forward(self, "train", leaf, checkpoint(self.call, leaf, "train", use_reentrant=False), {})

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training forward, by the input of the latter."""
        first, second = self.leaf(earlier), self.leaf(later)
        self.call(first, "train")
        y = self.call(second, "evaluate")
        (gradient,) = torch.autograd.grad(y, first, self.tensor(dy), allow_unused=True)
        gradient = torch.zeros_like(first) if gradient is None else gradient
        return self.array(gradient)

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Differentiate the gradients, multiplied by the directions: the Hessian is symmetric."""
        upstream, leaf = self.leaf(dy), self.leaf(x)
        known = {"x": leaf, "dy": upstream, "gamma": self.parameters.get("gamma")}
        variables = [known[name] for name in directions]
        vectors = [self.tensor(one) if one.ndim > 1 else to_tensor(one) for one in directions.values()]
        y = self.call(leaf, mode)
        first = torch.autograd.grad(y, variables, upstream, create_graph=True) if "dy" not in directions else (
            torch.autograd.grad((y * upstream).sum(), variables, create_graph=True))  # fmt: skip
        found = torch.autograd.grad(first, variables, vectors, allow_unused=True)
        whole = [torch.zeros_like(at) if one is None else one for at, one in zip(variables, found, strict=True)]
        pairs = zip(directions, whole, strict=True)
        return {name: to_numpy(one) if name == "gamma" else self.array(one) for name, one in pairs}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Differentiate the gradient twice, multiplied by the direction each time."""
        leaf, v = self.leaf(x), self.tensor(direction)
        found = self.call(leaf, mode)
        for vector in (self.leaf(dy), v, v):
            (one,) = torch.autograd.grad(found, leaf, vector, create_graph=True, allow_unused=True)
            found = torch.zeros_like(leaf, requires_grad=True) if one is None else one
        return self.array(found)

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Call the layer under ``torch.func.jvp``, nested for the second order.

        The transformation refuses to let a layer move its own buffers; PyTorch's advice is to pass others.
        """
        v = self.tensor(direction)

        def output(given: torch.Tensor) -> Any:
            return self.call(given, mode, {name: buffer.clone() for name, buffer in self.buffers.items()})

        derivative: Callable[[torch.Tensor], Any] = output
        for _ in range(order):
            derivative = along(derivative, v)
        return self.array(derivative(self.tensor(x)))

    def get_state(self) -> State:
        """Return the buffers, the counter of batches among them."""
        return {name: to_numpy(buffer).copy() for name, buffer in self.buffers.items()}

    def set_state(self, state: State) -> None:
        """Overwrite parameters and buffers, in their own dtype."""
        with torch.no_grad():
            for name, tensor in (*self.parameters.items(), *self.buffers.items()):
                if name in state:
                    tensor.copy_(to_tensor(state[name]))

    def tensor(self, x: Array) -> torch.Tensor:
        """Return the array, its channels moved to where the case wants them."""
        return to_tensor(x).movedim(1, -1) if self.last else to_tensor(x)

    def leaf(self, x: Array) -> torch.Tensor:
        """Return the array as a tensor that asks for its gradient."""
        return self.tensor(x).detach().requires_grad_()

    def array(self, tensor: torch.Tensor) -> Array:
        """Return the tensor in canonical layout."""
        return to_numpy(tensor.movedim(-1, 1) if self.last else tensor)


class ModuleLayer(Layer):
    """A module of ``torch.nn``, called as it is."""

    def __init__(self, config: LayerConfig, state: State) -> None:
        super().__init__(config)
        self.module = self.build()
        self.set_state(state)

    def build(self) -> Any:
        """Return a new module, as the layer is configured."""
        return build_module(self.config)

    @property
    def parameters(self) -> Tensors:
        """Return the module's, by the names of the contract."""
        return {_NAMES[name]: one for name, one in self.module.named_parameters()}

    @property
    def buffers(self) -> Tensors:
        """Return the module's."""
        return dict(self.module.named_buffers())

    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> Any:
        """Set the mode and call the module."""
        module = self.module.train(mode == "train")
        return module(x) if buffers is None else torch.func.functional_call(module, dict(buffers), (x,))

    def freeze(self) -> None:
        """Ask for no gradient of the parameters."""
        self.module.requires_grad_(False)

    def thaw(self) -> None:
        """Ask for gradients of the parameters again."""
        self.module.requires_grad_(True)

    def reload(self) -> ModuleLayer:
        """Save the state dict to a file and load it into a new module."""
        file = io.BytesIO()
        torch.save(self.module.state_dict(), file)
        file.seek(0)
        fresh = type(self)(self.config, {})
        fresh.module.load_state_dict(torch.load(file, weights_only=True))
        return fresh


@dataclass(frozen=True)
class Forward:
    """One call, with its graph and copies of the buffers that it started from."""

    layer: Layer
    mode: str
    x: torch.Tensor
    output: torch.Tensor
    before: Tensors

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Differentiate the graph, which is kept for another time."""
        output, leaves = self.output, {"x": self.x, **self.layer.parameters}
        if not leaves.keys() >= set(wrt):
            output, leaves = self._again_with_statistics(leaves)
        upstream = self.layer.tensor(dy)
        found = torch.autograd.grad(output, [leaves[name] for name in wrt], upstream, retain_graph=True)
        gradients = dict(zip(wrt, found, strict=True))
        return {name: self.layer.array(one) if name == "x" else to_numpy(one) for name, one in gradients.items()}

    def _again_with_statistics(self, leaves: Tensors) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Repeat the call on copies of its buffers that ask for a gradient.

        Buffers do not ask for one by themselves, and a module whose buffers do cannot even run.
        """
        buffers = {name: copy.clone().requires_grad_(copy.is_floating_point()) for name, copy in self.before.items()}
        return self.layer.call(self.x, self.mode, buffers), {**leaves, **buffers}


def build_module(config: LayerConfig) -> Any:
    """Return the module of the layer's rank."""
    module = _MODULES[config.rank](
        config.channels, eps=config.epsilon, momentum=config.momentum,
        affine=config.gamma or config.beta,
        track_running_stats=config.tracked, dtype=getattr(torch, config.param_dtype),
    )  # fmt: skip
    # Before 2.13 the constructor knew both or none.
    for name, wanted in (("weight", config.gamma), ("bias", config.beta)):
        if not wanted:
            module.register_parameter(name, None)
    return module


def to_tensor(x: Array) -> torch.Tensor:
    """Return a tensor that lies in memory as ``x`` does, where PyTorch can express it.

    It has no negative strides: such an array is copied. That is NumPy's exchange with PyTorch, and
    no part of batch normalisation.
    """
    if any(stride < 0 for stride in x.strides):
        x = np.ascontiguousarray(x)
    if x.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16).to(_DEVICE.name)
    return torch.from_numpy(x).to(_DEVICE.name)


def to_numpy(tensor: torch.Tensor) -> Array:
    """Return the tensor's values, bfloat16 as that of ``ml_dtypes``."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        array: Any = tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return np.asarray(array)
    return np.asarray(tensor.numpy())


def along(function: Callable[[torch.Tensor], Any], v: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    """Return the derivative of a function along ``v``, by forward mode."""
    return lambda x: torch.func.jvp(function, (x,), (v,))[1]
