"""The oracle's network in a case's own precision, behind the adapter contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.adapters.contract import Array, LayerConfig
from conformance.adapters.contract import State as ContractState
from conformance.corpus.case import Network
from conformance.definition.batch_norm import State, by_channel
from conformance.definition.constants import kept_constants
from conformance.definition.rules import Rules
from conformance.definition.stack import Pass, Stack

__all__ = ["NetworkLayer"]


class NetworkLayer:
    """A stack with its states, which does as a layer does."""

    def __init__(self, config: LayerConfig, network: Network, arrays: ContractState, rules: Rules) -> None:
        self.config, self.network = config, network
        self.work: Any = np.dtype(config.param_dtype).type
        self.stack = Stack.of(kept_constants(config, rules.dialect), network, arrays, self.work, rules)
        self.states = Stack.start(network, arrays, self.work)

    def forward(self, x: Array, mode: str) -> Forward:
        """Go through the stack; in train, move every state."""
        done = self.stack.forward(self._rows(x), mode, self.states)
        self.states = done.states
        return Forward(self, done, x.dtype)

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Return the product of the Hessian in ``x`` with its direction."""
        rows = self._rows(dy), self._rows(directions["x"])
        return {"x": self.stack.hessian(self._rows(x), mode, self.states, *rows).T.astype(x.dtype)}

    def get_state(self) -> dict[str, Array]:
        """Return the running statistics of all batch norms, joined."""
        joined = {name: [getattr(state, name[8:])[:, 0] for state in self.states] for name in _RUNNING}
        return {name: np.concatenate(parts).astype(self.config.param_dtype) for name, parts in joined.items()}

    def set_state(self, state: ContractState) -> None:
        """Overwrite the running statistics of all batch norms."""
        parts = [np.split(state[name].astype(self.work).reshape(-1, 1), self.network.blocks) for name in _RUNNING]
        self.states = tuple(
            State(mean, var, old.updates) for mean, var, old in zip(*parts, self.states, strict=True)
        )

    def _rows(self, array: Array) -> Array:
        return by_channel(array.astype(self.work))


@dataclass(frozen=True)
class Forward:
    """One pass through the stack."""

    layer: NetworkLayer
    done: Pass
    dtype: Any

    @property
    def y(self) -> Array:
        """Return the output, ``(N, outputs)``."""
        output: Array = self.done.y.T.astype(self.dtype)
        return output

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Return the gradient in the input."""
        gradient = self.layer.stack.gradient(self.done, by_channel(dy.astype(self.layer.work)))
        return {name: gradient.T.astype(self.dtype) for name in wrt}


_RUNNING = ("running_mean", "running_var")
