"""JAX: a layer as a function of its variables, differentiated by transformations, eager or under ``jax.jit``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from conformance.adapters.contract import Array, LayerConfig, State
from conformance.adapters.shared.device import pin_jax
from conformance.corpus.case import Case
from conformance.corpus.shape import parse_shape, values_per_channel
from conformance.host.frames import Frame, decode, encode

__all__ = [
    "REPLICA", "Forward", "Layer", "Masked", "Replicated", "Variables", "WideState", "cannot_export",
    "needs_state", "refuses", "through_bytes",
]  # fmt: skip

#: Arrays by name: ``gamma``, ``beta``, ``running_mean``, ``running_var``, shape ``(C,)``, and what else a layer keeps.
Variables: TypeAlias = dict[str, Any]
_Function: TypeAlias = Callable[..., tuple[Any, Variables]]

pin_jax(jax)

#: The name of the axis over which replicas are mapped.
REPLICA = "replica"


class Layer(ABC):
    """A layer whose variables are kept here; ``apply`` is the framework's call.

    Args:
        config: what to build.
        execution: ``eager``, or ``jit`` to compile each function of arrays.
        last: whether the framework is given the channels on the last axis.
    """

    def __init__(self, config: LayerConfig, execution: str, *, last: bool) -> None:
        self.config, self.execution, self.last = config, execution, last
        self.variables: Variables = {}
        self._compiled: dict[Hashable, Callable[..., Any]] = {}

    @abstractmethod
    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Return the output, and the variables that the call changes."""

    def forward(self, x: Array, mode: str) -> Forward:
        """Call the layer; keep the statistics that it returns."""
        return self.called(("forward", mode), partial(self.apply, mode=mode), x)

    def forward_recomputed(self, x: Array) -> Forward:
        """Call the layer in train under ``jax.checkpoint``."""
        return self.called("recomputed", jax.checkpoint(partial(self.apply, mode="train")), x)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""

        def both(first: Any, variables: Variables, second: Any) -> tuple[Any, Variables]:
            _, updated = self.apply(variables, first, "train")
            return self.apply({**variables, **updated}, second, "evaluate")[0], updated

        run, variables, second = self.compiled("update", both), self.variables, self.tensor(later)
        _, pullback, updated = jax.vjp(lambda first: run(first, variables, second), self.tensor(earlier), has_aux=True)
        self.variables = {**variables, **updated}
        return self.array(pullback(self.tensor(dy))[0])

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Push the directions through ``jax.grad``."""
        known = {"x": self.tensor(x), "dy": self.tensor(dy), "gamma": self.variables.get("gamma")}
        vectors = {name: self.tensor(one) if one.ndim > 1 else jnp.array(one) for name, one in directions.items()}

        def total(at: Variables, fixed: Variables) -> Any:
            every = {**fixed, **at}
            return (self._output(every["x"], mode, every["gamma"]) * every["dy"]).sum()

        def product(at: Variables, along: Variables, fixed: Variables) -> Any:
            return jax.jvp(lambda point: jax.grad(total)(point, fixed), (at,), (along,))[1]

        at = {name: known[name] for name in directions}
        fixed = {name: value for name, value in known.items() if name not in directions}
        found = self.compiled(("hvp", mode, *directions), product)(at, vectors, fixed)
        return {name: np.asarray(one) if name == "gamma" else self.array(one) for name, one in found.items()}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Push the direction through ``jax.grad``, twice."""

        def derivative(given: Any, upstream: Any, v: Any) -> Any:
            gradient = jax.grad(lambda at: (self._output(at, mode) * upstream).sum())
            return _along(_along(gradient, v), v)(given)

        run = self.compiled(("third", mode), derivative)
        return self.array(run(self.tensor(x), self.tensor(dy), self.tensor(direction)))

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Push the direction through ``apply``, as often as the order says."""

        def derivative(given: Any, v: Any) -> Any:
            function: Callable[[Any], Any] = lambda at: self._output(at, mode)  # noqa: E731
            for _ in range(order):
                function = _along(function, v)
            return function(given)

        return self.array(self.compiled(("jvp", mode, order), derivative)(self.tensor(x), self.tensor(direction)))

    def export(self, x: Array, mode: str) -> Array:
        """Export the call in that mode by ``jax.export``, with the variables in it, and call what is read back."""
        exported = export.export(jax.jit(lambda given: self.apply(self.variables, given, mode)[0]))(self.tensor(x))
        return self.array(export.deserialize(exported.serialize()).call(self.tensor(x)))

    def get_state(self) -> State:
        """Return the running statistics, where the layer keeps them."""
        kept = ("running_mean", "running_var")
        return {name: np.asarray(self.variables[name]) for name in kept if name in self.variables}

    def set_state(self, state: State) -> None:
        """Replace variables by the arrays given, in the dtype of those."""
        self.variables = {**self.variables, **{name: jnp.array(array) for name, array in state.items()}}

    def tensor(self, x: Array) -> Any:
        """Return the array in the layout of the layer."""
        return jnp.array(np.moveaxis(x, 1, -1) if self.last else x)

    def array(self, tensor: Any) -> Array:
        """Return the tensor in canonical layout."""
        array = np.asarray(tensor)
        return np.moveaxis(array, -1, 1) if self.last else array

    def called(self, key: Hashable, function: _Function, x: Array, *constants: Any) -> Forward:
        """Call ``function(variables, x, *constants)``, known by ``key``, and keep what it changes."""
        run = self.compiled(key, function)
        y, pullback, updated = jax.vjp(
            lambda variables, given: run(variables, given, *constants), self.variables, self.tensor(x), has_aux=True
        )
        self.variables = {**self.variables, **updated}
        return Forward(self, y, pullback)

    def compiled(self, key: Hashable, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, compiled once for each key where the execution says so."""
        if self.execution != "jit":
            return function
        return self._compiled.setdefault(key, jax.jit(function))

    def _output(self, x: Any, mode: str, gamma: Any = None) -> Any:
        """Call the layer without keeping its statistics, with another gamma if one is given."""
        variables = self.variables if gamma is None else {**self.variables, "gamma": gamma}
        return self.apply(variables, x, mode)[0]


class WideState(Layer):
    """A layer whose running statistics are float32 at least: 16-bit ones are given to it as such."""

    def set_state(self, state: State) -> None:
        """Replace variables by the arrays given, in the dtype of those, or what the layer makes of that."""
        super().set_state({
            name: array.astype(np.float32) if name.startswith("running") and array.dtype.itemsize == 2 else array
            for name, array in state.items()
        })  # fmt: skip


class Masked(Layer):
    """A layer whose ``apply`` knows the option ``mask``."""

    def forward_masked(self, x: Array, mode: str, mask: Array) -> Forward:
        """Call the layer with a mask, given an axis of length 1 for the channels."""
        spread = jnp.expand_dims(jnp.array(mask), -1 if self.last else 1)

        def call(variables: Variables, given: Any, let_in: Any) -> tuple[Any, Variables]:
            return self.apply(variables, given, mode, mask=let_in)

        return self.called(("masked", mode), call, x, spread)


class Replicated(Layer):
    """A layer whose ``apply`` knows the option ``axis_name``, an axis to synchronise over."""

    def forward_replicas(self, xs: Sequence[Array]) -> Forward:
        """Call the layer in train on each of ``xs`` under ``jax.vmap``, over an axis that has a name."""

        def one(variables: Variables, given: Any) -> tuple[Any, Variables]:
            return self.apply(variables, given, "train", axis_name=REPLICA)

        def call(variables: Variables, joined: Any) -> tuple[Any, Variables]:
            stacked = joined.reshape(len(xs), -1, *joined.shape[1:])
            y, updated = jax.vmap(one, in_axes=(None, 0), axis_name=REPLICA)(variables, stacked)
            return y.reshape(joined.shape), jax.tree.map(lambda leaf: leaf[0], updated)

        return self.called(("replicas", len(xs)), call, np.concatenate(xs))


def refuses(case: Case) -> str | None:
    """Refuse replicas of different sizes, which ``jax.vmap`` cannot map over, and exports that lack a package."""
    sizes = ({case.input(label).shape for label in step.replicas} for step in case.steps if step.replicas is not None)
    if any(len(shapes) > 1 for shapes in sizes):
        return "replicas under jax.vmap are of one size"
    return cannot_export(case)


def cannot_export(case: Case) -> str | None:
    """Say what ``jax.export`` takes that is not installed: JAX does not require it."""
    if find_spec("flatbuffers") is None and any(step.exported for step in case.steps):
        return "exporting takes what is not installed: pip install flatbuffers"
    return None


def needs_state(case: Case) -> bool:
    """Tell whether a case uses or reads running statistics."""
    running = {"running_mean", "running_var"}
    alone = values_per_channel(parse_shape(case.shape)) == 1  # its second derivatives vanish with any statistics
    return any(
        (step.mode == "evaluate" and (step.observe or step.gradients or step.jvp))
        or (step.mode == "evaluate" and step.differentiates and not alone)
        or step.through_update is not None
        or running & {*step.observe, *step.gradients}
        for step in case.steps
    )


@dataclass(frozen=True)
class Forward:
    """One call, with its pullback."""

    layer: Layer
    output: Any
    pullback: Callable[[Any], Any]

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Pull ``dy`` back to variables and input, all at once, and return those asked for."""
        variables, x = self.pullback(self.layer.tensor(dy))
        return {name: self.layer.array(x) if name == "x" else np.asarray(variables[name]) for name in wrt}


def _along(function: Callable[[Any], Any], v: Any) -> Callable[[Any], Any]:
    """Return the derivative of a function along ``v``, by forward mode."""
    return lambda x: jax.jvp(function, (x,), (v,))[1]


def through_bytes(variables: Variables) -> Variables:
    """Return the variables as a new process would find them: written as one safetensors image, and read."""
    image = encode(Frame(b"{}", {name: np.asarray(value) for name, value in variables.items()}))
    return {name: jnp.asarray(array) for name, array in decode(image).arrays.items()}
