"""Keras on TensorFlow: ``keras.layers.BatchNormalization``, eager."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
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
        """Declare the population variance; the tape can watch the statistics and sees no update.

        Freezing is ``trainable = False``.
        """
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="detached",
            recomputation="again", frozen="C",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the layer has no argument for."""
        if case.momentum == "cumulative":
            return "BatchNormalization has no cumulative average: momentum is a number"
        if not case.tracked and any(step.evaluate is not None for step in case.steps):
            return "BatchNormalization always keeps moving statistics"
        if any(step.replicas is not None for step in case.steps):
            return "synchronized=True needs a tf.distribute strategy, which this adapter does not set up"
        if _policy(case.layer) is None:
            return f"no dtype policy computes in {case.layer.dtype} with variables in {case.layer.param_dtype}"
        return None

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer, and assign its variables."""
        return _Layer(layer, state)


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.config, self.last = config, config.channel_axis != "second"
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
        return self.forward_masked(x, mode, None)

    def forward_masked(self, x: Array, mode: str, mask: Array | None) -> _Forward:
        """Call the layer with a mask, which has its batch and spatial dimensions."""
        tensor = self.tensor(x)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensor)
            variables = {name: variable.value for name, variable in self._variables().items()}
            for variable in variables.values():
                tape.watch(variable)
            output = self.layer(tensor, training=mode == "train", mask=mask)
        return _Forward(self, tape, {"x": tensor, **variables}, output)

    def forward_recomputed(self, x: Array) -> _Forward:
        """Call the layer in train under ``keras.remat``."""
        tensor = self.tensor(x)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensor)
            output = keras.remat(lambda given: self.layer(given, training=True))(tensor)
        return _Forward(self, tape, {"x": tensor}, output)

    def freeze(self) -> None:
        """Make the layer untrainable."""
        self.layer.trainable = False

    def thaw(self) -> None:
        """Make the layer trainable again."""
        self.layer.trainable = True

    def reload(self) -> _Layer:
        """Save the weights of a model of this one layer to a file and load them into a new one."""
        fresh = _Layer(self.config, {})
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/layer.weights.h5"
            self._model().save_weights(file)
            fresh._model().load_weights(file)
        return fresh

    def _model(self) -> Any:
        free = [None] * (self.config.rank - 1)
        shape = (*free[1:], self.config.channels) if self.last else (self.config.channels, *free[1:])
        return keras.Sequential([keras.Input(shape), self.layer])

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""
        first, second = self.tensor(earlier), self.tensor(later)
        with tf.GradientTape() as tape:
            tape.watch(first)
            self.layer(first, training=True)
            y = self.layer(second, training=False)
        zero = tf.UnconnectedGradients.ZERO
        return self.array(tape.gradient(y, first, output_gradients=self.tensor(dy), unconnected_gradients=zero))

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Differentiate the gradients by a tape around their tape, multiplied by the directions."""
        variables = self._variables()
        known = {"x": self.tensor(x), "dy": self.tensor(dy)}
        sources = {name: known[name] if name in known else variables[name].value for name in directions}
        vectors = [self.tensor(one) if one.ndim > 1 else tf.convert_to_tensor(one) for one in directions.values()]
        with tf.GradientTape() as outer:
            outer.watch(list(sources.values()))
            with tf.GradientTape() as inner:
                inner.watch(list(sources.values()))
                total = tf.reduce_sum(self.layer(known["x"], training=mode == "train") * known["dy"])
            first = inner.gradient(total, list(sources.values()))
        zero = tf.UnconnectedGradients.ZERO
        found = outer.gradient(first, list(sources.values()), output_gradients=vectors, unconnected_gradients=zero)
        pairs = zip(sources, found, strict=True)
        return {name: one.numpy() if name == "gamma" else self.array(one) for name, one in pairs}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Differentiate by three tapes inside one another, multiplied by the direction from the second on."""
        given, vectors = self.tensor(x), (self.tensor(dy), self.tensor(direction), self.tensor(direction))

        def differentiated(times: int) -> Any:
            if times == 0:
                return self.layer(given, training=mode == "train")
            with tf.GradientTape() as tape:
                tape.watch(given)
                inside = differentiated(times - 1)
            zero = tf.UnconnectedGradients.ZERO
            return tape.gradient(inside, given, output_gradients=vectors[times - 1], unconnected_gradients=zero)

        return self.array(differentiated(len(vectors)))

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Call the layer under forward accumulators, inside one another."""
        given, v = self.tensor(x), self.tensor(direction)

        def differentiated(times: int) -> Any:
            if times == 0:
                return self.layer(given, training=mode == "train")
            with tf.autodiff.ForwardAccumulator(given, v) as accumulator:
                inside = differentiated(times - 1)
            return accumulator.jvp(inside, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return self.array(differentiated(order))

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
