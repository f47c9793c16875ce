"""The stack of Keras' layers on TensorFlow behind the contract, of Keras 3 or 2."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from conformance.adapters.contract import LayerConfig, State
from conformance.adapters.shared.keras_network import Stack
from conformance.adapters.shared.tensorflow import Layer

__all__ = ["NetworkLayer"]


class NetworkLayer(Layer):
    """A stack, called as a layer is."""

    def __init__(self, config: LayerConfig, execution: str, stack: Stack) -> None:
        super().__init__(config, execution, last=False)
        self.stack = stack

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """Return nothing: the gradients that are asked for are those of the input."""
        return {}

    def call(self, x: tf.Tensor, mode: str, mask: tf.Tensor | None = None) -> Any:
        """Call the stack."""
        return self.stack(x, training=mode == "train")

    def get_state(self) -> State:
        """Return the statistics of all batch norms."""
        return self.stack.get_state()

    def set_state(self, state: State) -> None:
        """Assign the statistics of all batch norms."""
        self.stack.set_state(state)
