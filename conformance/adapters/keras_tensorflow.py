"""Keras on TensorFlow: ``keras.layers.BatchNormalization``, eager, in a graph and compiled by XLA."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import tensorflow_replicas as replicas
from conformance.adapters.shared.keras import KerasAdapter, import_keras
from conformance.adapters.shared.keras_network import Stack
from conformance.adapters.shared.keras_network_tensorflow import NetworkLayer
from conformance.adapters.shared.keras_saved_model import ServedLayer
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.tensorflow import Forward
from conformance.corpus.case import Case, Network
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

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the layer has no argument for, and what this version of Keras has no function for."""
        if any(step.recompute for step in case.steps) and not hasattr(keras, "remat"):
            return "Keras has remat since 3.9"
        return super().unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer, and assign its variables."""
        return _Layer(layer, state, self.execution)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> NetworkLayer:
        """Build the layers of the stack, and assign their variables."""
        return NetworkLayer(layer, self.execution, Stack(keras, layer, network, arrays))


class Graph(Adapter):
    """The same under ``tf.function``."""

    execution = "graph"


class Xla(Adapter):
    """The same under ``tf.function(jit_compile=True)``."""

    execution = "xla"


class _Layer(replicas.Replicated, ServedLayer):
    export_options: ClassVar = {"format": "tf_saved_model", "verbose": False}

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

    def synchronised(self) -> _Layer:
        """Return a new layer with ``synchronized=True``."""
        layer = _Layer(self.config, {}, self.execution, synchronized=True)
        layer.layer.trainable = self.layer.trainable
        return layer

    def fresh(self) -> _Layer:
        """Return a new layer of the same configuration."""
        return _Layer(self.config, {}, self.execution)
