"""TensorFlow's layers behind the contract: tapes around calls that run eagerly, in graphs or compiled by XLA."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from conformance.adapters.contract import Array, LayerConfig, State
from conformance.adapters.shared.device import pin_tensorflow
from conformance.corpus.case import Case

__all__ = ["Forward", "HandKept", "Layer", "lacks"]

pin_tensorflow(tf)
_ZERO = tf.UnconnectedGradients.ZERO


class Layer(ABC):
    """One layer: ``variables`` and ``call`` are what an adapter has to say.

    Args:
        config: what to build.
        execution: ``eager``; ``graph`` for ``tf.function``; ``xla`` for the same with ``jit_compile=True``.
        last: whether the framework is given the channels on the last axis.
    """

    def __init__(self, config: LayerConfig, execution: str, *, last: bool) -> None:
        self.config, self.execution, self.last = config, execution, last
        self._functions: dict[Hashable, Callable[..., Any]] = {}

    @property
    @abstractmethod
    def variables(self) -> dict[str, tf.Variable]:
        """Return ``gamma``, ``beta``, ``running_mean`` and ``running_var``, those that the layer has."""

    @abstractmethod
    def call(self, x: tf.Tensor, mode: str, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Call the layer; in train it assigns its statistics."""

    def forward(self, x: Array, mode: str) -> Forward:
        """Call the layer under a tape of its own, which watches all that a gradient may be asked for."""
        return self.taped(("forward", mode), lambda given: self.call(given, mode), x)

    def forward_recomputed(self, x: Array) -> Forward:
        """Call the layer in train under ``tf.recompute_grad``."""
        return self.taped("recomputed", tf.recompute_grad(lambda given: self.call(given, "train")), x)

    def taped(self, key: Hashable, function: Callable[..., Any], x: Array, *constants: Any) -> Forward:
        """Call ``function(x, *constants)``, known by ``key``, under a tape."""
        tensor, variables = self.tensor(x), self.variables
        run = self.compiled(key, function)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([tensor, *variables.values()])
            output = run(tensor, *constants)
        return Forward(self, tape, {"x": tensor, **variables}, output)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""

        def gradient(first: tf.Tensor, second: tf.Tensor, upstream: tf.Tensor) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(first)
                self.call(first, "train")
                y = self.call(second, "evaluate")
            return tape.gradient(y, first, output_gradients=upstream, unconnected_gradients=_ZERO)

        run = self.compiled("through_update", gradient)
        return self.array(run(self.tensor(earlier), self.tensor(later), self.tensor(dy)))

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Differentiate the gradients by a tape around their tape, multiplied by the directions."""
        vectors = [self.tensor(one) if one.ndim > 1 else tf.convert_to_tensor(one) for one in directions.values()]

        def products(given: tf.Tensor, upstream: tf.Tensor, *vectors: tf.Tensor) -> Any:
            known = {"x": given, "dy": upstream, **self.variables}
            sources = [known[name] for name in directions]
            with tf.GradientTape() as outer:
                outer.watch(sources)
                with tf.GradientTape() as inner:
                    inner.watch(sources)
                    total = tf.reduce_sum(self.call(given, mode) * upstream)
                first = inner.gradient(total, sources)
            return outer.gradient(first, sources, output_gradients=list(vectors), unconnected_gradients=_ZERO)

        # The directions are arguments: what a trace closes over stays in it for the next call.
        found = self.compiled(("hvp", mode, *directions), products)(self.tensor(x), self.tensor(dy), *vectors)
        pairs = zip(directions, found, strict=True)
        return {name: one.numpy() if name == "gamma" else self.array(one) for name, one in pairs}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Differentiate by three tapes inside one another, multiplied by the direction from the second on."""

        def differentiated(given: tf.Tensor, *vectors: tf.Tensor) -> Any:
            if not vectors:
                return self.call(given, mode)
            with tf.GradientTape() as tape:
                tape.watch(given)
                inside = differentiated(given, *vectors[:-1])
            return tape.gradient(inside, given, output_gradients=vectors[-1], unconnected_gradients=_ZERO)

        run, v = self.compiled(("third", mode), differentiated), self.tensor(direction)
        return self.array(run(self.tensor(x), self.tensor(dy), v, v))

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Call the layer under forward accumulators, inside one another."""

        def differentiated(given: tf.Tensor, v: tf.Tensor, times: int) -> Any:
            if times == 0:
                return self.call(given, mode)
            with tf.autodiff.ForwardAccumulator(given, v) as accumulator:
                inside = differentiated(given, v, times - 1)
            return accumulator.jvp(inside, unconnected_gradients=_ZERO)

        run = self.compiled(("jvp", mode, order), lambda given, v: differentiated(given, v, order))
        return self.array(run(self.tensor(x), self.tensor(direction)))

    def get_state(self) -> State:
        """Return the two moving statistics."""
        variables = self.variables
        return {name: variables[name].numpy() for name in ("running_mean", "running_var") if name in variables}

    def set_state(self, state: State) -> None:
        """Assign the variables, in their own dtype."""
        for name, variable in self.variables.items():
            if name in state:
                variable.assign(state[name])

    def compiled(self, key: Hashable, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, traced once for each key where the execution says so."""
        if self.execution == "eager":
            return function
        compiled = tf.function(function, jit_compile=self.execution == "xla", autograph=False)
        return self._functions.setdefault(key, compiled)

    def forget_compiled(self) -> None:
        """Trace anew from now on: what a trace has seen of the layer stays in it."""
        self._functions.clear()

    def tensor(self, x: Array) -> tf.Tensor:
        """Return the array in the layout of the layer."""
        return tf.convert_to_tensor(np.moveaxis(x, 1, -1) if self.last else x)

    def array(self, tensor: tf.Tensor) -> Array:
        """Return the tensor in canonical layout."""
        values: Array = tensor.numpy()
        return np.moveaxis(values, -1, 1) if self.last else values


class HandKept(Layer):
    """A layer of functions: its parameters and state are variables made here, ``blend`` moves the state."""

    def __init__(self, config: LayerConfig, state: State, execution: str) -> None:
        super().__init__(config, execution, last=config.channel_axis != "second")
        wanted = {"gamma": config.gamma, "beta": config.beta, "running_mean": True, "running_var": True}
        ones = {"gamma", "running_var"}
        self._variables = {
            name: tf.Variable((np.ones if name in ones else np.zeros)(config.channels, config.param_dtype))
            for name, has in wanted.items() if has
        }  # fmt: skip
        self.set_state(state)

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """Return the variables made here."""
        return self._variables

    def blend(self, mean: tf.Tensor, var: tf.Tensor) -> None:
        """Move the running statistics towards those of a batch, each of shape ``(C,)``."""
        weight: Any = self.config.momentum
        for name, batch in (("running_mean", mean), ("running_var", var)):
            held = self._variables[name]
            held.assign(held * (1 - weight) + tf.cast(batch, held.dtype) * weight)

    def reload(self) -> HandKept:
        """Save the variables by ``tf.train.Checkpoint`` and restore them into a new layer's."""
        fresh = type(self)(self.config, {}, self.execution)
        with tempfile.TemporaryDirectory() as folder:
            path = tf.train.Checkpoint(**self.variables).write(f"{folder}/layer")
            tf.train.Checkpoint(**fresh.variables).read(path).assert_consumed()
        return fresh

    def export(self, x: Array, mode: str) -> Array:
        """Save the call in that mode as a SavedModel, with copies of the variables in it, and call what is loaded."""
        given = self.tensor(x)
        module: Any = tf.Module()
        module.held = self.variables
        module.serve = tf.function(
            lambda one: self.call(one, mode), [tf.TensorSpec(given.shape, given.dtype)],
            jit_compile=self.execution == "xla", autograph=False,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(module, folder)
            loaded = tf.saved_model.load(folder)  # it holds the variables while it is called
            return self.array(loaded.serve(given))


def lacks(case: Case) -> str | None:
    """Say what a layer of functions has no means for."""
    if case.momentum == "cumulative":
        return "the average that is kept has one weight: there is no cumulative one"
    if not case.tracked and any(step.evaluate is not None for step in case.steps):
        return "evaluating takes running statistics"
    if any(step.freeze is not None for step in case.steps):
        return "functions have no gesture for freezing: the caller assigns or not"
    if any(step.masked for step in case.steps):
        return "TensorFlow's functions take no mask"
    if any(step.replicas is not None for step in case.steps):
        return "TensorFlow's functions do not synchronise"
    return None


@dataclass(frozen=True)
class Forward:
    """One call, with the tape that recorded it."""

    layer: Layer
    tape: tf.GradientTape
    sources: dict[str, Any]
    output: tf.Tensor

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Ask the tape; what the output does not depend on has zeros, by TensorFlow's own option."""
        sources, upstream = [self.sources[name] for name in wrt], self.layer.tensor(dy)
        found = self.tape.gradient(self.output, sources, output_gradients=upstream, unconnected_gradients=_ZERO)
        pairs = zip(wrt, found, strict=True)
        return {name: self.layer.array(one) if name == "x" else one.numpy() for name, one in pairs}
