"""A network as formulas: dense, batch norm and GELU in turn, with its gradient, in the precision of its arguments.

Every array is in channel rows: an input of shape ``(N, features)`` is ``(features, N)``. On Taylor numbers
forward and gradient give their own derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.corpus.case import Layer, Network
from conformance.definition.batch_norm import Array, Forward, Parameters, State, column, forward, statistics
from conformance.definition.gelu import gelu, gelu_slope
from conformance.definition.gradients import gradients
from conformance.definition.rules import Rules
from conformance.definition.running_state import Batch, moves, shared, update
from conformance.definition.taylor import Taylor

__all__ = ["Pass", "Stack", "States"]

#: The running statistics of every batch norm, in their order.
States = tuple[State, ...]


@dataclass(frozen=True)
class Pass:
    """What a forward leaves for its gradient: the call of every batch norm, its batch, and the states after it."""

    y: Any
    calls: tuple[Forward, ...]
    batches: tuple[Batch, ...]
    states: States


@dataclass(frozen=True)
class Stack:
    """Kernels ``(units, features)``, biases ``(units, 1)`` and the parameters of every batch norm."""

    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    norms: tuple[Parameters, ...]
    momentum: float | None
    rules: Rules

    @classmethod
    def of(cls, layer: Layer, network: Network, arrays: Mapping[str, Array], dtype: Any, rules: Rules) -> Stack:
        """Take the arrays of a case, in a dtype to compute in."""
        dense = range(1, network.blocks + 2)
        kernels = tuple(arrays[f"kernel_{k}"].astype(dtype) for k in dense)
        biases = tuple(arrays[f"bias_{k}"].astype(dtype).reshape(-1, 1) for k in dense)
        gamma = column(arrays.get("gamma"), network.channels, dtype, 1)
        beta = column(arrays.get("beta"), network.channels, dtype, 0)
        norms = tuple(Parameters(gamma[part], beta[part], layer.epsilon) for part in _parts(network))
        return cls(kernels, biases, norms, layer.momentum, rules)

    @staticmethod
    def start(network: Network, arrays: Mapping[str, Array], dtype: Any) -> States:
        """Return the states that a case starts from."""
        mean = column(arrays.get("running_mean"), network.channels, dtype, 0)
        var = column(arrays.get("running_var"), network.channels, dtype, 1)
        return tuple(State(mean[part], var[part]) for part in _parts(network))

    def forward(self, x: Any, mode: str, states: States) -> Pass:
        """Go through the layers; in train, also move the states."""
        calls, batches, after, n = [], [], [], x.shape[1]
        for kernel, bias, norm, state in zip(self.kernels[:-1], self.biases[:-1], self.norms, states, strict=True):
            x, shape = kernel @ x + bias, (n, len(kernel))
            moved = state
            # Of a derivative the state is not looked at, unless it is what train normalises with.
            if not isinstance(x, Taylor) or self.rules.train_statistics == "updated":
                batches.append(Batch(*statistics(x, shape, self.rules), n, n, norm.epsilon))
                moved = self._moved(batches[-1], state, mode)
            call = forward(x, mode, shape, norm, state, moved, self.rules)
            if batches:
                times = moves(mode, self.rules, with_backward=False)
                call = shared(call, state, batches[-1], self.momentum, self.rules, moved=times > 0)
            calls.append(call)
            after.append(moved)
            x = gelu(calls[-1].y)
        return Pass(self.kernels[-1] @ x + self.biases[-1], tuple(calls), tuple(batches), tuple(after))

    def moved(self, batches: Sequence[Batch], states: States, mode: str) -> States:
        """Return the states after a forward in which every batch norm has seen its batch."""
        return tuple(self._moved(batch, state, mode) for batch, state in zip(batches, states, strict=True))

    def _moved(self, batch: Batch, state: State, mode: str) -> State:
        for _ in range(moves(mode, self.rules, with_backward=False)):
            state = update(state, batch, self.momentum, self.rules)
        return state

    def gradient(self, done: Pass, dy: Any) -> Any:
        """Return the gradient of ``sum(y * dy)`` in the input, ``(features, N)``."""
        dy = self.kernels[-1].T @ dy
        for kernel, call in zip(self.kernels[-2::-1], done.calls[::-1], strict=True):
            dy = kernel.T @ gradients(call, dy * gelu_slope(call.y), self.rules)["x"]
        return dy

    def hessian(self, x: Any, mode: str, states: States, dy: Any, direction: Any) -> Any:
        """Return the Hessian of ``sum(y * dy)`` in the input times a direction, ``(features, N)``."""
        line = Taylor.line(x, direction, 1)
        return self.gradient(self.forward(line, mode, states), Taylor.line(dy, None, 1)).derivative(1)



def _parts(network: Network) -> list[slice]:
    return [slice(k * network.width, (k + 1) * network.width) for k in range(network.blocks)]
