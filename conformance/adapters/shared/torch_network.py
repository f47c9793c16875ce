"""A stack of ``torch.nn.Linear``, ``BatchNorm1d`` and ``GELU`` behind the contract."""

from __future__ import annotations

import numpy as np
import torch

from conformance.adapters.contract import LayerConfig, State
from conformance.adapters.shared.torch import Layer, Tensors, build_module, to_numpy, to_tensor
from conformance.corpus.case import Network

__all__ = ["NetworkLayer"]

_NAMES = ("running_mean", "running_var")


class NetworkLayer(Layer):
    """A ``torch.nn.Sequential``; the state is that of its batch norms, joined."""

    def __init__(self, config: LayerConfig, network: Network, arrays: State) -> None:
        super().__init__(config)
        dtype = getattr(torch, config.param_dtype)
        kernels = [arrays[f"kernel_{k}"] for k in range(1, network.blocks + 2)]
        self.dense = [torch.nn.Linear(kernel.shape[1], kernel.shape[0], dtype=dtype) for kernel in kernels]
        self.norms = [build_module(config) for _ in range(network.blocks)]
        blocks = [(dense, norm, torch.nn.GELU()) for dense, norm in zip(self.dense, self.norms, strict=False)]
        self.module = torch.nn.Sequential(*(one for block in blocks for one in block), self.dense[-1])
        with torch.no_grad():
            for k, dense in enumerate(self.dense, start=1):
                dense.weight.copy_(to_tensor(arrays[f"kernel_{k}"]))
                dense.bias.copy_(to_tensor(arrays[f"bias_{k}"]))
            for name, attribute in (("gamma", "weight"), ("beta", "bias")):
                for norm, part in zip(self.norms, np.split(arrays[name], network.blocks), strict=True):
                    getattr(norm, attribute).copy_(to_tensor(part))
        self.set_state(arrays)

    @property
    def parameters(self) -> Tensors:
        """Return nothing: the gradients that are asked for are those of the input."""
        return {}

    @property
    def buffers(self) -> Tensors:
        """Return those of all batch norms, by their names in the module."""
        return dict(self.module.named_buffers())

    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> torch.Tensor:
        """Set the mode and call the module."""
        module = self.module.train(mode == "train")
        y: torch.Tensor = module(x) if buffers is None else torch.func.functional_call(module, dict(buffers), (x,))
        return y

    def get_state(self) -> State:
        """Return the running statistics, joined."""
        return {name: np.concatenate([to_numpy(getattr(norm, name)) for norm in self.norms]) for name in _NAMES}

    def set_state(self, state: State) -> None:
        """Overwrite the running statistics of every batch norm."""
        with torch.no_grad():
            for name in (name for name in _NAMES if name in state):
                for norm, part in zip(self.norms, np.split(np.asarray(state[name]), len(self.norms)), strict=True):
                    getattr(norm, name).copy_(to_tensor(np.ascontiguousarray(part)))
