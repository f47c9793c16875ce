"""Keras on TensorFlow: ``keras.layers.BatchNormalization``, eager."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"  # Keras reads it when it is imported, and never again

import keras
import numpy as np
import tensorflow as tf

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Implementation, LayerConfig, State
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

_NAMES = {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


class Adapter(BaseAdapter):
    """One layer object per layer; gradients by a persistent ``tf.GradientTape`` around each call."""

    def describe(self) -> Implementation:
        """Name Keras and TensorFlow with their versions."""
        return Implementation(
            name="keras-tensorflow", versions={"keras": keras.__version__, "tensorflow": tf.__version__},
            documentation="https://keras.io/api/layers/normalization_layers/batch_normalization/",
        )  # fmt: skip

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance; the tape can watch the statistics and sees no update."""
        return Dialect(running_variance="population", statistics_gradient="leaf", update_gradient="detached")

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the layer has no argument for."""
        if case.momentum == "cumulative":
            return "BatchNormalization has no cumulative average: momentum is a number"
        if _policy(case.layer) is None:
            return f"no dtype policy computes in {case.layer.dtype} with variables in {case.layer.param_dtype}"
        return None

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer, and assign its variables."""
        return _Layer(layer, state)


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.last = config.channel_axis != "second"
        self.layer = keras.layers.BatchNormalization(
            axis=-1 if self.last else 1,
            # Keras' momentum weighs the old state; without one it is left to Keras to refuse.
            momentum=None if config.momentum is None else 1 - config.momentum,
            epsilon=config.epsilon, scale=config.gamma, center=config.beta, dtype=_policy(config) or config.dtype,
        )  # fmt: skip
        free = [None] * (config.rank - 1)
        self.layer.build((*free, config.channels) if self.last else (None, config.channels, *free[1:]))
        self.set_state(state)

    def forward(self, x: Array, mode: str) -> _Forward:
        """Call the layer under a tape of its own, which watches all that a gradient may be asked for."""
        tensor = self.tensor(x)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensor)
            variables = {name: variable.value for name, variable in self._variables().items()}
            for variable in variables.values():
                tape.watch(variable)
            output = self.layer(tensor, training=mode == "train")
        return _Forward(self, tape, {"x": tensor, **variables}, output)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""
        first, second = self.tensor(earlier), self.tensor(later)
        with tf.GradientTape() as tape:
            tape.watch(first)
            self.layer(first, training=True)
            y = self.layer(second, training=False)
        zero = tf.UnconnectedGradients.ZERO
        return self.array(tape.gradient(y, first, output_gradients=self.tensor(dy), unconnected_gradients=zero))

    def get_state(self) -> State:
        """Return the two moving statistics."""
        variables = self._variables()
        return {name: variables[name].numpy() for name in ("running_mean", "running_var")}

    def set_state(self, state: State) -> None:
        """Assign the variables, in their own dtype."""
        for name, variable in self._variables().items():
            if name in state:
                variable.assign(state[name])

    def _variables(self) -> dict[str, Any]:
        found = {name: getattr(self.layer, attribute, None) for name, attribute in _NAMES.items()}
        return {name: variable for name, variable in found.items() if variable is not None}

    def tensor(self, x: Array) -> Any:
        """Return the array in the layout of the layer."""
        return tf.convert_to_tensor(np.moveaxis(x, 1, -1) if self.last else x)

    def array(self, tensor: Any) -> Array:
        """Return the tensor in canonical layout."""
        values: Array = tensor.numpy()
        return np.moveaxis(values, -1, 1) if self.last else values


@dataclass(frozen=True)
class _Forward:
    """One call, with the tape that recorded it."""

    layer: _Layer
    tape: tf.GradientTape
    sources: dict[str, Any]
    output: Any

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Ask the tape; what the output does not depend on has zeros, by TensorFlow's own option."""
        sources = [self.sources[name] for name in wrt]
        found = self.tape.gradient(
            self.output, sources, output_gradients=self.layer.tensor(dy),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )  # fmt: skip
        arrays = (self.layer.array(one) if name == "x" else one.numpy() for name, one in zip(wrt, found, strict=True))
        return dict(zip(wrt, arrays, strict=True))


def _policy(layer: LayerConfig) -> str | None:
    """Return the name of the dtype policy, ``None`` if Keras has none for the pair."""
    if layer.dtype == layer.param_dtype:
        return layer.dtype
    mixed = layer.param_dtype == "float32" and layer.dtype in ("float16", "bfloat16")
    return f"mixed_{layer.dtype}" if mixed else None
