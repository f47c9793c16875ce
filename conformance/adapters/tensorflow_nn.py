"""TensorFlow: ``tf.nn.moments`` and ``tf.nn.batch_normalization``, the state kept by hand."""

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
    """The two functions in turn; the state is averaged by ``tf.Variable.assign``, as their documentation shows."""

    execution = "eager"

    def describe(self) -> Implementation:
        """Name TensorFlow with its version."""
        return Implementation(
            name="tensorflow-nn", versions={"tensorflow": tf.__version__}, execution=self.execution,
            documentation="https://www.tensorflow.org/api_docs/python/tf/nn/batch_normalization",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the function."""
        return defaults_of(tf.nn.batch_normalization, "tf.nn.batch_normalization")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance that ``tf.nn.moments`` gives; the tape sees no assignment."""
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="detached",
            recomputation="once" if self.execution == "graph" else "again", exported="batch",
            state_dtype="parameters",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the functions have no argument for."""
        if case.layer.dtype != case.layer.param_dtype and any(step.mode == "train" for step in case.program):
            return "tf.nn.moments gives statistics of the input's dtype, which multiply no parameters of another"
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
        """Normalise with the moments of the batch, or with the state."""
        held = self.variables
        channels = self.config.rank - 1 if self.last else 1
        shape = [self.config.channels if axis == channels else 1 for axis in range(self.config.rank)]

        def spread(name: str) -> tf.Tensor | None:
            return tf.reshape(held[name], shape) if name in held else None

        if mode == "evaluate":
            mean, var = spread("running_mean"), spread("running_var")
        else:
            axes = [axis for axis in range(self.config.rank) if axis != channels]
            mean, var = tf.nn.moments(x, axes, keepdims=True)
            self.blend(tf.reshape(mean, [-1]), tf.reshape(var, [-1]))
        return tf.nn.batch_normalization(x, mean, var, spread("beta"), spread("gamma"), self.config.epsilon)
