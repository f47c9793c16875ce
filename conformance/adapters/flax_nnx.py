"""Flax on JAX: ``flax.nnx.BatchNorm``, eager and under ``jax.jit``."""

from __future__ import annotations

import re
from typing import Any

import flax
import flax.nnx
import flax.serialization
import jax
import jax.numpy as jnp

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.jax import Masked, Replicated, Variables, WideState, refuses
from conformance.adapters.shared.jax_network import NetworkLayer
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Jit"]

# Not by the library that compares versions, which is in no environment made for Flax alone.
_VERSION = tuple(int(part) for part in re.findall(r"\d+", flax.__version__)[:3])
_NAMES = {"gamma": "scale", "beta": "bias", "running_mean": "mean", "running_var": "var"}


class Adapter(BaseAdapter):
    """One module per layer, split into its definition and its variables, which are merged for each call."""

    execution = "eager"

    def describe(self) -> Implementation:
        """Name Flax and JAX with their versions."""
        return Implementation(
            name="flax-nnx", versions={"flax": flax.__version__, "jax": jax.__version__}, execution=self.execution,
            documentation="https://flax.readthedocs.io/en/stable/api_reference/flax.nnx/nn/normalization.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(flax.nnx.BatchNorm, "flax.nnx.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance; variables are values, whose update stops the gradient since Flax 0.12.1."""
        return Dialect(
            running_variance="population", statistics_gradient="leaf",
            update_gradient="detached" if _VERSION >= (0, 12, 1) else "differentiable",
            recomputation="once", state_dtype="float32", exported="batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        if case.momentum == "cumulative":
            return "nnx.BatchNorm has no cumulative average: momentum is a number"
        if not case.tracked and any(step.evaluate is not None for step in case.steps):
            return "nnx.BatchNorm always keeps running statistics"
        if any(step.freeze is not None for step in case.steps):
            return "an nnx module has no gesture for freezing: the caller chooses the variables to differentiate by"
        return refuses(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module and overwrite its variables."""
        return _Layer(layer, state, self.execution)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> NetworkLayer:
        """Build a stack with such modules in it."""
        return NetworkLayer(layer, network, arrays, self.execution, self.create)


class Jit(Adapter):
    """The same under ``jax.jit``; momentum and epsilon are constants of the compiled function."""

    execution = "jit"


class _Layer(WideState, Masked, Replicated):
    def __init__(self, config: LayerConfig, state: State, execution: str) -> None:
        super().__init__(config, execution, last=config.channel_axis != "second")
        momentum: Any = None if config.momentum is None else 1 - config.momentum
        self.module = flax.nnx.BatchNorm(
            config.channels, axis=-1 if self.last else 1,
            momentum=momentum,  # weighs the old state; without one it is left to Flax to refuse
            epsilon=config.epsilon, dtype=jnp.dtype(config.dtype), param_dtype=jnp.dtype(config.param_dtype),
            use_scale=config.gamma, use_bias=config.beta, rngs=flax.nnx.Rngs(0),
        )  # fmt: skip
        pure = _values(flax.nnx.state(self.module))
        self.variables = {name: pure[leaf] for name, leaf in _NAMES.items() if leaf in pure}
        self.set_state(state)

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Merge module and variables, call it, and take its statistics out again."""
        definition, state = flax.nnx.split(self.module)
        _replace(state, {_NAMES[name]: value for name, value in variables.items()})
        # Variables made anew: Flax 0.11 refuses to change those of the module under a transformation.
        module = flax.nnx.merge(definition, jax.tree.map(lambda leaf: leaf, state))
        module.axis_name = options.get("axis_name")
        y = module(x, use_running_average=mode == "evaluate", mask=options.get("mask"))
        return y, {} if mode == "evaluate" else {"running_mean": module.mean[...], "running_var": module.var[...]}

    def reload(self) -> _Layer:
        """Write the variables to bytes, as a plain dictionary, and read them into a new layer's."""
        fresh = _Layer(self.config, {}, self.execution)
        written = flax.serialization.to_bytes(self.variables)
        fresh.variables = flax.serialization.from_bytes(fresh.variables, written)
        return fresh


def _values(state: Any) -> dict[str, Any]:
    """Return the arrays of a state: by a function, which up to Flax 0.10.2 was a method."""
    read = getattr(flax.nnx, "to_pure_dict", None)
    values: dict[str, Any] = state.to_pure_dict() if read is None else read(state)
    return values


def _replace(state: Any, values: dict[str, Any]) -> None:
    """Replace the arrays of a state: by a function, which up to Flax 0.10.2 was a method."""
    write = getattr(flax.nnx, "replace_by_pure_dict", None)
    if write is None:
        state.replace_by_pure_dict(values)
    else:
        write(state, values)
