"""Replicas on logical devices of one CPU, under ``tf.distribute.MirroredStrategy``."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from conformance.adapters.contract import Array
from conformance.adapters.shared.tensorflow import Layer

__all__ = ["Forward", "Replicated", "lacks", "split_cpu"]

_DEVICES = ("CPU:0", "CPU:1")
_ZERO = tf.UnconnectedGradients.ZERO


def split_cpu() -> None:
    """Make two logical devices of the CPU; to be called before anything starts TensorFlow, which is too late."""
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(_cpu(), [tf.config.LogicalDeviceConfiguration() for _ in _DEVICES])


def lacks(execution: str) -> str | None:
    """Say why there is no place for two replicas, unless there is."""
    if execution == "xla":
        return "XLA compiles for one device, and replicas have variables on two"
    if len(tf.config.get_logical_device_configuration(_cpu()) or ()) < len(_DEVICES):
        return "TensorFlow had started before its CPU could be split for replicas: run without --in-process"
    return None


@cache
def strategy() -> Any:
    """Return the strategy that mirrors variables on both devices; layers are made in its scope.

    One for the process: its collective operations wait for those of any other.
    """
    return tf.distribute.MirroredStrategy(_DEVICES)


class Replicated(Layer):
    """A layer that can be made anew, with statistics that are synchronised."""

    @abstractmethod
    def synchronised(self) -> Layer:
        """Return a new layer of the same configuration that synchronises its statistics."""

    def forward_replicas(self, xs: Sequence[Array]) -> Forward:
        """Call a synchronised layer that has the same variables, mirrored on the devices; take over its state."""
        with strategy().scope():
            mirrored = self.synchronised()
            mirrored.set_state({name: variable.numpy() for name, variable in self.variables.items()})
        forward = Forward(mirrored, strategy(), xs)
        forward.y  # noqa: B018  (the call is made now)
        self.set_state(mirrored.get_state())
        return forward


@dataclass(frozen=True)
class Forward:
    """One training call of a layer made in the scope of ``strategy``, on one input for each replica.

    Gradients through sums over replicas are taken where the replicas run: ``backward`` calls the layer again, and
    what that leaves of its state is nobody's.
    """

    layer: Layer
    strategy: Any
    xs: Sequence[Array]

    @cached_property
    def y(self) -> Array:
        """Return the outputs of the replicas, joined along the rows."""
        return self._joined(self._run(lambda given: self.layer.call(given, "train"), self.xs))

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Return the gradient of the input joined along the rows, those of parameters summed over the replicas."""

        def gradients(given: tf.Tensor, upstream: tf.Tensor) -> Any:
            # Replicas see a part of each mirrored variable, which is the one to differentiate by.
            known = {"x": given, **self.layer.variables}
            sources = [known[name] for name in wrt]
            with tf.GradientTape() as tape:
                tape.watch(given)
                y = self.layer.call(given, "train")
            return tape.gradient(y, sources, output_gradients=upstream, unconnected_gradients=_ZERO)

        parts = np.split(dy, np.cumsum([len(x) for x in self.xs])[:-1])
        found = zip(wrt, self._run(gradients, self.xs, parts), strict=True)
        return {name: self._joined(one) if name == "x" else self._summed(one) for name, one in found}

    def _run(self, function: Callable[..., Any], *arguments: Sequence[Array]) -> Any:
        given = [self._spread([self.layer.tensor(one) for one in each]) for each in arguments]
        run = self.strategy.run
        if self.layer.execution == "eager":
            return run(function, given)
        return tf.function(lambda: run(function, given), jit_compile=self.layer.execution == "xla", autograph=False)()

    def _spread(self, tensors: Sequence[tf.Tensor]) -> Any:
        distribute = self.strategy.experimental_distribute_values_from_function
        return distribute(lambda context: tensors[context.replica_id_in_sync_group])

    def _joined(self, values: Any) -> Array:
        return np.concatenate([self.layer.array(one) for one in self._local(values)])

    def _summed(self, values: Any) -> Array:
        total: Array = np.sum([one.numpy() for one in self._local(values)], axis=0)
        return total

    def _local(self, values: Any) -> Sequence[Any]:
        results: Sequence[Any] = self.strategy.experimental_local_results(values)
        return results


def _cpu() -> Any:
    return tf.config.list_physical_devices("CPU")[0]
