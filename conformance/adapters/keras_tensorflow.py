"""Keras on TensorFlow: ``keras.layers.BatchNormalization``, eager, in a graph and compiled by XLA."""

from __future__ import annotations

import tempfile
from typing import Any

import tensorflow as tf

from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import tensorflow_replicas as replicas
from conformance.adapters.shared.keras import KerasAdapter, KerasLayer, import_keras
from conformance.adapters.shared.keras_network import Stack
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.tensorflow import Forward, Layer
from conformance.corpus.case import Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Graph", "Xla"]

replicas.split_cpu()
keras = import_keras("tensorflow")


class Adapter(KerasAdapter):
    """One layer object per layer; gradients by a persistent ``tf.GradientTape`` around each call."""

    execution = "eager"

    def describe(self) -> Implementation:
        """Name Keras and TensorFlow with their versions."""
        return Implementation(
            name="keras-tensorflow", versions={"keras": keras.__version__, "tensorflow": tf.__version__},
            execution=self.execution,
            documentation="https://keras.io/api/layers/normalization_layers/batch_normalization/",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(keras.layers.BatchNormalization, "keras.layers.BatchNormalization")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance; the tape can watch the statistics and sees no update.

        Freezing is ``trainable = False``. In a graph that XLA does not compile, a forward that is done
        again assigns nothing.
        """
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="detached",
            recomputation="once" if self.execution == "graph" else "again", frozen="C",
            state_dtype="parameters",
        )  # fmt: skip

    @property
    def lacks_replicas(self) -> str | None:
        """Say why there is no place for replicas, unless there is."""
        return replicas.lacks(self.execution)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer, and assign its variables."""
        return _Layer(layer, state, self.execution)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> _Network:
        """Build the layers of the stack, and assign their variables."""
        return _Network(layer, network, arrays, self.execution)


class Graph(Adapter):
    """The same under ``tf.function``."""

    execution = "graph"


class Xla(Adapter):
    """The same under ``tf.function(jit_compile=True)``."""

    execution = "xla"


class _Layer(replicas.Replicated, KerasLayer):
    def __init__(self, config: LayerConfig, state: State, execution: str, **options: Any) -> None:
        super().__init__(config, execution, last=config.channel_axis != "second")
        self.build(keras, **options)
        self.set_state(state)

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """Return TensorFlow's variables in those of Keras."""
        return {name: variable.value for name, variable in self.held().items()}

    def call(self, x: tf.Tensor, mode: str, mask: tf.Tensor | None = None) -> Any:
        """Call the layer."""
        return self.layer(x, training=mode == "train", mask=mask)

    def forward_masked(self, x: Array, mode: str, mask: Array) -> Forward:
        """Call the layer with a mask, which has its batch and spatial dimensions."""
        return self.taped(("masked", mode), lambda given, let_in: self.call(given, mode, let_in), x, mask)

    def forward_recomputed(self, x: Array) -> Forward:
        """Call the layer in train under ``keras.remat``."""
        return self.taped("recomputed", keras.remat(lambda given: self.call(given, "train")), x)

    def export(self, x: Array, mode: str) -> Array:
        """Export a model of this one layer as a SavedModel, and call what is loaded from that."""
        if mode == "train":
            raise NotImplementedError("Model.export knows no mode")
        with tempfile.TemporaryDirectory() as folder:
            self.model(dtype=self.config.dtype).export(folder, format="tf_saved_model", verbose=False)
            loaded = tf.saved_model.load(folder)  # it holds the variables while it is called
            return self.array(loaded.serve(self.tensor(x)))

    def synchronised(self) -> _Layer:
        """Return a new layer with ``synchronized=True``."""
        layer = _Layer(self.config, {}, self.execution, synchronized=True)
        layer.layer.trainable = self.layer.trainable
        return layer

    def fresh(self) -> _Layer:
        """Return a new layer of the same configuration."""
        return _Layer(self.config, {}, self.execution)


class _Network(Layer):
    def __init__(self, config: LayerConfig, network: Network, arrays: State, execution: str) -> None:
        super().__init__(config, execution, last=False)
        self.stack = Stack(keras, config, network, arrays)

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
