"""PyTorch: ``torch.nn.functional.batch_norm``, its buffers kept by the caller, eager."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import torch as shared
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.torch import Tensors
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]


class Adapter(BaseAdapter):
    """Parameters and buffers are tensors of the caller's; the mode is the argument ``training``."""

    def describe(self) -> Implementation:
        """Name PyTorch and its version."""
        return Implementation(
            name="torch-functional", versions={"torch": torch.__version__},
            documentation="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the function."""
        return defaults_of(torch.nn.functional.batch_norm, "torch.nn.functional.batch_norm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare what the module does, but for evaluating without statistics, which raises."""
        return Dialect(
            statistics_gradient="refused", update_gradient="detached", recomputation="again", untracked="refused",
            state_dtype="parameters",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the function has no argument for."""
        if case.momentum == "cumulative":
            return "functional.batch_norm counts no batches: momentum is a number"
        if any(step.freeze is not None or step.reload for step in case.steps):
            return "a function has nothing to freeze or to save: its tensors are the caller's"
        return shared.unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> shared.Layer:
        """Make the tensors."""
        return _Layer(layer, state)


class _Layer(shared.Layer):
    def __init__(self, config: LayerConfig, state: State) -> None:
        super().__init__(config)
        C, dtype = config.channels, config.param_dtype
        ones, zeros = np.ones(C, dtype), np.zeros(C, dtype)
        made = {"gamma": ones, "beta": zeros, "running_mean": zeros, "running_var": ones}
        have = {"gamma": config.gamma, "beta": config.beta, "running_mean": config.tracked,
                "running_var": config.tracked}  # fmt: skip
        self.held = {name: shared.to_tensor(array.copy()) for name, array in made.items() if have[name]}
        self.set_state(state)
        for parameter in self.parameters.values():
            parameter.requires_grad_()

    @property
    def parameters(self) -> Tensors:
        return {name: tensor for name, tensor in self.held.items() if not name.startswith("running")}

    @property
    def buffers(self) -> Tensors:
        return {name: tensor for name, tensor in self.held.items() if name.startswith("running")}

    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> Any:
        held = {**self.held, **(buffers or {})}
        momentum: Any = self.config.momentum  # without one it is left to PyTorch to refuse
        return torch.nn.functional.batch_norm(
            x, held.get("running_mean"), held.get("running_var"), held.get("gamma"), held.get("beta"),
            training=mode == "train", momentum=momentum, eps=self.config.epsilon,
        )  # fmt: skip
