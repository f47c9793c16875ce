"""Keras 2: ``tf_keras.layers.BatchNormalization``, fused or not, and the layer of version 1, all eager."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.api._v1.keras.layers import BatchNormalization as BatchNormalizationV1

from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import tensorflow_replicas as replicas
from conformance.adapters.shared.keras import KerasAdapter
from conformance.adapters.shared.keras_network import Stack
from conformance.adapters.shared.keras_network_tensorflow import NetworkLayer
from conformance.adapters.shared.keras_saved_model import ServedLayer
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.tensorflow import Forward
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["V1", "Fused", "Unfused"]

_FUSED_RANKS = (4, 5)

replicas.split_cpu()


class _Adapter(KerasAdapter):
    """One layer object per layer; gradients by a persistent ``tf.GradientTape`` around each call."""

    name = ""
    kind: Any = tf_keras.layers.BatchNormalization
    fused: bool | None = False

    def describe(self) -> Implementation:
        """Name Keras 2 and TensorFlow with their versions."""
        return Implementation(
            name=self.name, versions={"tf_keras": tf_keras.__version__, "tensorflow": tf.__version__},
            documentation="https://www.tensorflow.org/api_docs/python/tf/keras/layers/BatchNormalization",
            settings={} if self.fused is None else {"fused": str(self.fused)},
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        version = "tf_keras.layers" if self.kind is tf_keras.layers.BatchNormalization else "tf.compat.v1.keras.layers"
        return defaults_of(self.kind, f"{version}.BatchNormalization")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance, the sample variance where the kernel of version 1 is fused.

        Not fused, the weight of the batch is computed in float32; fused, the statistics have no gradient. Freezing
        is ``trainable = False``, which in version 1 leaves only the state where it is.
        """
        fused = self._fuses(layer)
        return Dialect(
            running_variance="sample" if fused else "population", statistics_gradient="constant" if fused else "leaf",
            update_gradient="detached", constants="own" if fused else "float32 momentum", recomputation="again",
            frozen="B" if self.kind is BatchNormalizationV1 else "C",
        )  # fmt: skip

    @property
    def lacks_replicas(self) -> str | None:
        """Say why replicas cannot be synchronised, unless they can."""
        if self.kind is BatchNormalizationV1:
            return "the layer of version 1 takes synchronized=True, and does not synchronise"
        return replicas.lacks("eager")

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the layer has no argument for, and what the fused kernel does not take."""
        if self._fuses(case.layer) and any(step.masked or step.replicas is not None for step in case.steps):
            return "the fused kernel ignores masks and does not synchronise"
        if self.fused and case.layer.rank not in _FUSED_RANKS:
            return "the fused kernel takes four or five dimensions"
        if self.fused and case.layer.dtype == "float64":
            return "the fused kernel knows no float64"
        if case.layer.param_dtype in ("float16", "bfloat16"):
            return "Keras 2 keeps the variables of a BatchNormalization in float32 at least"
        return super().unsupported(case)

    def _fuses(self, layer: LayerConfig) -> bool:
        """Tell whether the kernel is fused; the layer of version 1 chooses."""
        return layer.rank in _FUSED_RANKS and layer.dtype != "float64" if self.fused is None else self.fused

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer, and assign its variables."""
        return _Layer(layer, state, self)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> NetworkLayer:
        """Build the layers of the stack, and assign their variables."""
        options = {"kind": self.kind, "erf": tf.math.erf, "fused": self.fused}
        return NetworkLayer(layer, "eager", Stack(tf_keras, layer, network, arrays, **options))


class Fused(_Adapter):
    """``fused=True``."""

    name, fused = "tf-keras-fused", True


class Unfused(_Adapter):
    """``fused=False``."""

    name, fused = "tf-keras-unfused", False


class V1(_Adapter):
    """The layer that TensorFlow 1 had; it chooses by the rank whether it is fused."""

    name, fused, kind = "tf-keras-v1", None, BatchNormalizationV1


class _Layer(replicas.Replicated, ServedLayer):
    def __init__(self, config: LayerConfig, state: State, adapter: _Adapter, **options: Any) -> None:
        super().__init__(config, "eager", last=config.channel_axis != "second")
        self.adapter = adapter
        self.build(tf_keras, adapter.kind, fused=adapter.fused, **options)
        self.set_state(state)

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """Return the layer's."""
        return self.held()

    def call(self, x: tf.Tensor, mode: str, mask: tf.Tensor | None = None) -> Any:
        """Call the layer."""
        return self.layer(x, training=mode == "train", mask=mask)

    def forward_masked(self, x: Array, mode: str, mask: Array) -> Forward:
        """Call the layer with a mask, which has its batch and spatial dimensions."""
        return self.taped(("masked", mode), lambda given, let_in: self.call(given, mode, let_in), x, mask)

    def synchronised(self) -> _Layer:
        """Return a new layer with ``synchronized=True``."""
        layer = _Layer(self.config, {}, self.adapter, synchronized=True)
        layer.layer.trainable = self.layer.trainable
        return layer

    def fresh(self) -> _Layer:
        """Return a new layer of the same configuration."""
        return _Layer(self.config, {}, self.adapter)
