"""Flax on JAX: ``flax.linen.BatchNorm``, eager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax
import flax.linen
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Implementation, LayerConfig, State
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

#: Collection and name of each variable, by its name here.
_PLACES = {
    "gamma": ("params", "scale"), "beta": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"), "running_var": ("batch_stats", "var"),
}  # fmt: skip


class Adapter(BaseAdapter):
    """One module per layer, its variables kept here; gradients by ``jax.vjp`` of ``apply``."""

    def describe(self) -> Implementation:
        """Name Flax and JAX with their versions."""
        return Implementation(
            name="flax-linen", versions={"flax": flax.__version__, "jax": jax.__version__},
            documentation="https://flax.readthedocs.io/en/stable/api_reference/flax.linen/layers.html",
        )  # fmt: skip

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance; variables are values, so everything is differentiable."""
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="differentiable",
            recomputation="once",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        if case.momentum == "cumulative":
            return "linen.BatchNorm has no cumulative average: momentum is a number"
        if not case.tracked and any(step.evaluate is not None for step in case.steps):
            return "linen.BatchNorm always keeps running statistics"
        if any(step.freeze is not None for step in case.steps):
            return "a linen module has no gesture for freezing: parameters are values that the caller updates or not"
        return None

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module, initialise its variables and overwrite them."""
        return _Layer(layer, state)


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.config, self.last = config, config.channel_axis != "second"
        momentum: Any = None if config.momentum is None else 1 - config.momentum
        self.module = flax.linen.BatchNorm(
            axis=-1 if self.last else 1,
            momentum=momentum,  # weighs the old state; without one it is left to Flax to refuse
            epsilon=config.epsilon, dtype=jnp.dtype(config.dtype), param_dtype=jnp.dtype(config.param_dtype),
            use_scale=config.gamma, use_bias=config.beta,
        )  # fmt: skip
        x = np.zeros((1, config.channels, *(1,) * (config.rank - 2)), config.dtype)
        self.variables: Any = self.module.init(jax.random.key(0), self.tensor(x), use_running_average=True)
        self.set_state(state)

    def forward(self, x: Array, mode: str) -> _Forward:
        """Apply the module; in train, keep the statistics that it returns."""
        return self.forward_masked(x, mode, None)

    def forward_replicas(self, xs: Sequence[Array]) -> _Forward:
        """Apply the module with an ``axis_name`` under ``jax.vmap`` over that axis."""
        module = self.module.clone(axis_name="replica")

        def one(variables: Any, given: Any) -> tuple[Any, Any]:
            y, updated = module.apply(variables, given, use_running_average=False, mutable=["batch_stats"])
            return y, updated

        def call(variables: Any, joined: Any) -> tuple[Any, Any]:
            stacked = joined.reshape(len(xs), -1, *joined.shape[1:])
            y, updated = jax.vmap(one, in_axes=(None, 0), axis_name="replica")(variables, stacked)
            return y.reshape(joined.shape), jax.tree.map(lambda leaf: leaf[0], updated)

        y, pullback, updated = jax.vjp(call, self.variables, self.tensor(np.concatenate(xs)), has_aux=True)
        self.variables = {**self.variables, **updated}
        return _Forward(self, y, pullback)

    def forward_masked(self, x: Array, mode: str, mask: Array | None) -> _Forward:
        """Apply the module with a mask, given an axis of length 1 for the channels."""
        spread = None if mask is None else jnp.expand_dims(jnp.array(mask), -1 if self.last else 1)

        def call(variables: Any, given: Any) -> tuple[Any, Any]:
            return self._apply(variables, given, mode, spread)

        y, pullback, updated = jax.vjp(call, self.variables, self.tensor(x), has_aux=True)
        if mode == "train":
            self.variables = {**self.variables, **updated}
        return _Forward(self, y, pullback)

    def forward_recomputed(self, x: Array) -> _Forward:
        """Apply the module in train under ``jax.checkpoint``."""

        def call(variables: Any, given: Any) -> tuple[Any, Any]:
            return self._apply(variables, given, "train")

        y, pullback, updated = jax.vjp(jax.checkpoint(call), self.variables, self.tensor(x), has_aux=True)
        self.variables = {**self.variables, **updated}
        return _Forward(self, y, pullback)

    def reload(self) -> _Layer:
        """Write the variables to bytes and read them into a new layer's."""
        fresh = _Layer(self.config, {})
        fresh.variables = flax.serialization.from_bytes(
            fresh.variables, flax.serialization.to_bytes(self.variables)
        )
        return fresh

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""
        second = self.tensor(later)

        def both(first: Any) -> tuple[Any, Any]:
            _, updated = self._apply(self.variables, first, "train")
            y, _ = self._apply({**self.variables, **updated}, second, "evaluate")
            return y, updated

        _, pullback, updated = jax.vjp(both, self.tensor(earlier), has_aux=True)
        self.variables = {**self.variables, **updated}
        return self.array(pullback(self.tensor(dy))[0])

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Push the directions through ``jax.grad``."""
        known = {"x": self.tensor(x), "dy": self.tensor(dy), "gamma": self.variables.get("params", {}).get("scale")}
        fixed = {name: value for name, value in known.items() if name not in directions}
        vectors = {name: self.tensor(one) if one.ndim > 1 else jnp.array(one) for name, one in directions.items()}

        def total(variables: dict[str, Any]) -> Any:
            at = {**fixed, **variables}
            return (self._output(at["x"], mode, at["gamma"]) * at["dy"]).sum()

        _, found = jax.jvp(jax.grad(total), ({name: known[name] for name in directions},), (vectors,))
        return {name: np.asarray(one) if name == "gamma" else self.array(one) for name, one in found.items()}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Push the direction through ``jax.grad``, twice."""
        upstream, v = self.tensor(dy), self.tensor(direction)
        gradient = jax.grad(lambda given: (self._output(given, mode) * upstream).sum())
        return self.array(_along(_along(gradient, v), v)(self.tensor(x)))

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Push the direction through ``apply``, as often as the order says."""
        derivative: Callable[[Any], Any] = lambda given: self._output(given, mode)  # noqa: E731
        for _ in range(order):
            derivative = _along(derivative, self.tensor(direction))
        return self.array(derivative(self.tensor(x)))

    def _output(self, x: Any, mode: str, gamma: Any = None) -> Any:
        """Apply the module without keeping its statistics, with another gamma if one is given."""
        variables = self.variables
        if gamma is not None:
            variables = {**variables, "params": {**variables["params"], "scale": gamma}}
        return self._apply(variables, x, mode)[0]

    def get_state(self) -> State:
        """Return the two running statistics."""
        statistics = self.variables["batch_stats"]
        return {"running_mean": np.asarray(statistics["mean"]), "running_var": np.asarray(statistics["var"])}

    def set_state(self, state: State) -> None:
        """Replace variables by the arrays given, in the dtype of those."""
        variables = {collection: dict(leaves) for collection, leaves in self.variables.items()}
        for name, array in state.items():
            collection, leaf = _PLACES[name]
            variables[collection][leaf] = jnp.array(array)
        self.variables = variables

    def _apply(self, variables: Any, x: Any, mode: str, mask: Any = None) -> tuple[Any, Any]:
        if mode == "evaluate":
            return self.module.apply(variables, x, use_running_average=True, mask=mask), {}
        y, updated = self.module.apply(variables, x, use_running_average=False, mask=mask, mutable=["batch_stats"])
        return y, updated

    def tensor(self, x: Array) -> Any:
        """Return the array in the layout of the module."""
        return jnp.array(np.moveaxis(x, 1, -1) if self.last else x)

    def array(self, tensor: Any) -> Array:
        """Return the tensor in canonical layout."""
        array = np.asarray(tensor)
        return np.moveaxis(array, -1, 1) if self.last else array


@dataclass(frozen=True)
class _Forward:
    """One call, with its pullback."""

    layer: _Layer
    output: Any
    pullback: Callable[[Any], Any]

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Pull ``dy`` back to variables and input, all at once, and return those asked for."""
        variables, x = self.pullback(self.layer.tensor(dy))
        gradients = {"x": self.layer.array(x)} if "x" in wrt else {}
        for name in wrt:
            if name != "x":
                collection, leaf = _PLACES[name]
                gradients[name] = np.asarray(variables[collection][leaf])
        return gradients


def _along(function: Callable[[Any], Any], v: Any) -> Callable[[Any], Any]:
    """Return the derivative of a function along ``v``, by forward mode."""
    return lambda x: jax.jvp(function, (x,), (v,))[1]
