"""A stack of dense layers, batch norms and GELU on JAX: the batch norms a library's, the rest ``jax.numpy``'s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from conformance.adapters.contract import LayerConfig, State
from conformance.adapters.shared.jax import Layer, Variables
from conformance.corpus.case import Network

__all__ = ["NetworkLayer"]

_GIVEN = ("gamma", "beta", "running_mean", "running_var")


class NetworkLayer(Layer):
    """The stack; its variables are those of all batch norms, each under its name and the number of its block.

    Args:
        config: what each batch norm is built by.
        network: how many blocks there are.
        arrays: kernels, biases and the joined arrays of the batch norms.
        execution: ``eager`` or ``jit``, as of the layer.
        create: builds one batch norm that holds a state.
    """

    def __init__(
        self, config: LayerConfig, network: Network, arrays: State, execution: str,
        create: Callable[[LayerConfig, State], Layer],
    ) -> None:  # fmt: skip
        super().__init__(config, execution, last=False)
        numbers = range(1, network.blocks + 2)
        self.dense = [(jnp.array(arrays[f"kernel_{k}"].T), jnp.array(arrays[f"bias_{k}"])) for k in numbers]
        parts = {name: np.split(arrays[name], network.blocks) for name in _GIVEN if name in arrays}
        self.norms = [create(config, {name: part[k] for name, part in parts.items()}) for k in range(network.blocks)]
        self._take()

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Call the layers in turn; return what the batch norms change."""
        moved: Variables = {}
        for k, (norm, (kernel, bias)) in enumerate(zip(self.norms, self.dense, strict=False)):
            own = {name: variables[f"{name}_{k}"] for name in norm.variables}
            x, updated = norm.apply(own, x @ kernel + bias, mode)
            moved |= {f"{name}_{k}": value for name, value in updated.items()}
            x = jax.nn.gelu(x, approximate=False)
        kernel, bias = self.dense[-1]
        return x @ kernel + bias, moved

    def get_state(self) -> State:
        """Return what every batch norm gives of its state, joined."""
        self._fill()
        states = [norm.get_state() for norm in self.norms]
        return {name: np.concatenate([np.atleast_1d(state[name]) for state in states]) for name in states[0]}

    def set_state(self, state: State) -> None:
        """Give every batch norm its part."""
        self._fill()
        parts = {name: np.split(np.asarray(array), len(self.norms)) for name, array in state.items()}
        for k, norm in enumerate(self.norms):
            norm.set_state({name: part[k].reshape(norm.variables[name].shape) for name, part in parts.items()})
        self._take()

    def _take(self) -> None:
        """Take the variables out of the batch norms."""
        self.variables = {
            f"{name}_{k}": value for k, norm in enumerate(self.norms) for name, value in norm.variables.items()
        }

    def _fill(self) -> None:
        """Put the variables back into them."""
        for k, norm in enumerate(self.norms):
            norm.variables = {name: self.variables[f"{name}_{k}"] for name in norm.variables}
