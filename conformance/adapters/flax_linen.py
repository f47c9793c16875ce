"""Flax on JAX: ``flax.linen.BatchNorm``, eager and under ``jax.jit``."""

from __future__ import annotations

from typing import Any

import flax
import flax.linen
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.jax import Layer, Masked, Replicated, Variables, WideState, refuses
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Jit", "TwoPass"]

#: Collection and name of each variable, by its name here.
_PLACES = {
    "gamma": ("params", "scale"), "beta": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"), "running_var": ("batch_stats", "var"),
}  # fmt: skip


class Adapter(BaseAdapter):
    """One module per layer, its variables kept here; gradients by ``jax.vjp`` of ``apply``."""

    name, execution, fast_variance = "flax-linen", "eager", True

    def describe(self) -> Implementation:
        """Name Flax and JAX with their versions."""
        return Implementation(
            name=self.name, versions={"flax": flax.__version__, "jax": jax.__version__}, execution=self.execution,
            documentation="https://flax.readthedocs.io/en/stable/api_reference/flax.linen/layers.html",
            settings={} if self.fast_variance else {"use_fast_variance": "False"},
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(flax.linen.BatchNorm, "flax.linen.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance; variables are values, so everything is differentiable."""
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="differentiable",
            recomputation="once", state_dtype="float32", exported="batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        if case.momentum == "cumulative":
            return "linen.BatchNorm has no cumulative average: momentum is a number"
        if not case.tracked and any(step.evaluate is not None for step in case.steps):
            return "linen.BatchNorm always keeps running statistics"
        if any(step.freeze is not None for step in case.steps):
            return "a linen module has no gesture for freezing: parameters are values that the caller updates or not"
        return refuses(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module, initialise its variables and overwrite them."""
        return _Layer(layer, state, self.execution, fast_variance=self.fast_variance)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> _Network:
        """Build the modules of the stack; their variables are those given."""
        return _Network(layer, network, arrays, self.execution, fast_variance=self.fast_variance)


class Jit(Adapter):
    """The same under ``jax.jit``; momentum and epsilon are constants of the compiled function."""

    execution = "jit"


class TwoPass(Adapter):
    """The module with its option for the accurate variance."""

    name, fast_variance = "flax-linen-two-pass", False


class _Layer(WideState, Masked, Replicated):
    def __init__(self, config: LayerConfig, state: State, execution: str, *, fast_variance: bool) -> None:
        super().__init__(config, execution, last=config.channel_axis != "second")
        momentum: Any = None if config.momentum is None else 1 - config.momentum
        self.module = flax.linen.BatchNorm(
            axis=-1 if self.last else 1,
            momentum=momentum,  # weighs the old state; without one it is left to Flax to refuse
            epsilon=config.epsilon, dtype=jnp.dtype(config.dtype), param_dtype=jnp.dtype(config.param_dtype),
            use_scale=config.gamma, use_bias=config.beta, use_fast_variance=fast_variance,
        )  # fmt: skip
        x = np.zeros((1, config.channels, *(1,) * (config.rank - 2)), config.dtype)
        made = self.module.init(jax.random.key(0), self.tensor(x), use_running_average=True)
        self.variables = _flat(made)
        self.set_state(state)

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Apply the module; in train, return its statistics, too."""
        mask, axis_name = options.get("mask"), options.get("axis_name")
        module = self.module if axis_name is None else self.module.clone(axis_name=axis_name)
        tree = _tree(variables)
        if mode == "evaluate":
            return module.apply(tree, x, use_running_average=True, mask=mask), {}
        y, updated = module.apply(tree, x, use_running_average=False, mask=mask, mutable=["batch_stats"])
        return y, _flat(updated)

    def reload(self) -> _Layer:
        """Write the variables to bytes and read them into a new layer's."""
        fresh = _Layer(self.config, {}, self.execution, fast_variance=self.module.use_fast_variance)
        written = flax.serialization.to_bytes(_tree(self.variables))
        fresh.variables = _flat(flax.serialization.from_bytes(_tree(fresh.variables), written))
        return fresh


class _Network(Layer):
    def __init__(
        self, config: LayerConfig, network: Network, arrays: State, execution: str, *, fast_variance: bool
    ) -> None:
        super().__init__(config, execution, last=False)
        self.network = network
        dtypes = {"dtype": jnp.dtype(config.dtype), "param_dtype": jnp.dtype(config.param_dtype)}
        self.dense = [
            flax.linen.Dense(units, **dtypes) for units in (*(network.width,) * network.blocks, network.outputs)
        ]
        momentum: Any = None if config.momentum is None else 1 - config.momentum
        self.norm = flax.linen.BatchNorm(
            momentum=momentum, epsilon=config.epsilon, use_fast_variance=fast_variance, **dtypes
        )
        self.parameters: dict[str, dict[str, Any]] = {
            f"dense_{k}": {"kernel": jnp.array(arrays[f"kernel_{k + 1}"].T), "bias": jnp.array(arrays[f"bias_{k + 1}"])}
            for k in range(network.blocks + 1)
        }
        for k, parts in enumerate(zip(*(np.split(arrays[name], network.blocks) for name in _AFFINE), strict=True)):
            self.parameters[f"norm_{k}"] = dict(zip(_AFFINE.values(), map(jnp.array, parts), strict=True))
        zeros = np.zeros(network.channels, config.param_dtype)
        start = {"running_mean": zeros, "running_var": zeros + 1}
        self.set_state({name: np.asarray(arrays.get(name, own)) for name, own in start.items()})

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Apply the modules in turn; in train, return their statistics, joined."""
        parts = {leaf: jnp.split(variables[name], self.network.blocks) for name, leaf in _MOMENTS.items()}
        moved: dict[str, list[Any]] = {name: [] for name in _MOMENTS}
        for k, dense in enumerate(self.dense[:-1]):
            tree = {"params": self.parameters[f"norm_{k}"], "batch_stats": {leaf: parts[leaf][k] for leaf in parts}}
            x = dense.apply({"params": self.parameters[f"dense_{k}"]}, x)
            x, updated = self.norm.apply(tree, x, use_running_average=mode == "evaluate", mutable=["batch_stats"])
            for name, leaf in _MOMENTS.items():
                moved[name].append(updated["batch_stats"][leaf])
            x = flax.linen.gelu(x, approximate=False)
        y = self.dense[-1].apply({"params": self.parameters[f"dense_{self.network.blocks}"]}, x)
        return y, {} if mode == "evaluate" else {name: jnp.concatenate(values) for name, values in moved.items()}


_AFFINE = {"gamma": "scale", "beta": "bias"}
_MOMENTS = {"running_mean": "mean", "running_var": "var"}


def _flat(tree: Any) -> Variables:
    """Return the leaves of Flax' variables by their names here."""
    names = {place: name for name, place in _PLACES.items()}
    return {names[collection, leaf]: value for collection in tree for leaf, value in tree[collection].items()}


def _tree(variables: Variables) -> dict[str, dict[str, Any]]:
    """Return the variables as Flax has them."""
    tree: dict[str, dict[str, Any]] = {}
    for name, value in variables.items():
        collection, leaf = _PLACES[name]
        tree.setdefault(collection, {})[leaf] = value
    return tree
