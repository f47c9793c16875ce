"""TensorFlow: ``tf.compat.v1.nn.fused_batch_norm``, the kernel FusedBatchNormV3 with its own gradient."""

from __future__ import annotations

import tensorflow as tf

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.tensorflow import HandKept, lacks
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Graph", "Xla"]


class Adapter(BaseAdapter):
    """The kernel on four dimensions, others folded into them; the state that it averages is assigned to variables."""

    execution = "eager"

    def describe(self) -> Implementation:
        """Name TensorFlow with its version."""
        return Implementation(
            name="tensorflow-fused", versions={"tensorflow": tf.__version__}, execution=self.execution,
            documentation="https://www.tensorflow.org/api_docs/python/tf/compat/v1/nn/fused_batch_norm",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the function."""
        return defaults_of(tf.compat.v1.nn.fused_batch_norm, "tf.compat.v1.nn.fused_batch_norm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the sample variance; neither the kernel's gradient nor the tape sees the statistics."""
        return Dialect(
            running_variance="sample", statistics_gradient="constant", update_gradient="detached",
            recomputation="once" if self.execution == "graph" else "again", exported="batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the kernel has no argument for."""
        if case.layer.dtype == "float64" or case.layer.param_dtype != "float32":
            return "FusedBatchNormV3 knows float32 and 16-bit input, with parameters and statistics in float32"
        return lacks(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Make the variables."""
        return _Layer(layer, state, self.execution)


class Graph(Adapter):
    """The same under ``tf.function``."""

    execution = "graph"


class Xla(Adapter):
    """The same under ``tf.function(jit_compile=True)``."""

    execution = "xla"


class _Layer(HandKept):
    def call(self, x: tf.Tensor, mode: str, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Call the kernel; in train, assign the averages that it returns."""
        config, held, shape = self.config, self.variables, tf.shape(x)
        channels = config.channels
        if config.momentum is None:  # would be taken for 1
            raise TypeError("exponential_avg_factor is a number")
        folded = [-1, 1, 1, channels] if self.last else [shape[0], channels, -1, 1]
        y, mean, var = tf.compat.v1.nn.fused_batch_norm(
            tf.reshape(x, folded), held.get("gamma", tf.ones(channels)), held.get("beta", tf.zeros(channels)),
            held["running_mean"], held["running_var"], epsilon=config.epsilon,
            data_format="NHWC" if self.last else "NCHW", is_training=mode == "train",
            exponential_avg_factor=config.momentum,
        )  # fmt: skip
        if mode == "train":
            held["running_mean"].assign(mean)
            held["running_var"].assign(var)
        return tf.reshape(y, shape)
