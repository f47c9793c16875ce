"""Flax on JAX: ``flax.linen.BatchNorm``, eager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flax
import flax.linen
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
        return Dialect(running_variance="population", statistics_gradient="leaf", update_gradient="differentiable")

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        if case.momentum == "cumulative":
            return "linen.BatchNorm has no cumulative average: momentum is a number"
        return None

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module, initialise its variables and overwrite them."""
        return _Layer(layer, state)


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.last = config.channel_axis != "second"
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

        def call(variables: Any, given: Any) -> tuple[Any, Any]:
            return self._apply(variables, given, mode)

        y, pullback, updated = jax.vjp(call, self.variables, self.tensor(x), has_aux=True)
        if mode == "train":
            self.variables = {**self.variables, **updated}
        return _Forward(self, y, pullback)

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

    def _apply(self, variables: Any, x: Any, mode: str) -> tuple[Any, Any]:
        if mode == "evaluate":
            return self.module.apply(variables, x, use_running_average=True), {}
        y, updated = self.module.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
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
