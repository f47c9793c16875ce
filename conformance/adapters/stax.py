"""Stax, JAX' example library: ``jax.example_libraries.stax.BatchNorm``, eager and under ``jax.jit``."""

from __future__ import annotations

from typing import Any

import jax
from jax.example_libraries import stax

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.jax import Layer, Variables, cannot_export, needs_state, through_bytes
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Jit"]


class Adapter(BaseAdapter):
    """A function of beta and gamma that knows no mode: it has no running statistics."""

    execution = "eager"

    def describe(self) -> Implementation:
        """Name JAX with its version."""
        return Implementation(
            name="stax", versions={"jax": jax.__version__}, execution=self.execution,
            documentation="https://docs.jax.dev/en/latest/jax.example_libraries.stax.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(stax.BatchNorm, "stax.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare that evaluating uses the statistics of the batch."""
        return Dialect(untracked="batch", recomputation="once", exported="batch")

    def unsupported(self, case: Case) -> str | None:
        """Refuse what needs running statistics."""
        if case.tracked and needs_state(case):
            return "stax.BatchNorm keeps no running statistics"
        if any(step.freeze is not None for step in case.steps):
            return "a stax layer has no gesture for freezing: parameters are values that the caller updates or not"
        if any(step.masked for step in case.steps):
            return "stax.BatchNorm takes no mask"
        if any(step.replicas is not None for step in case.steps):
            return "stax.BatchNorm does not synchronise"
        if case.layer.dtype != case.layer.param_dtype:
            return "stax.BatchNorm has no dtype of its own: its output has the promoted one of input and parameters"
        return cannot_export(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Make the layer's functions, initialise its parameters and overwrite them."""
        return _Layer(layer, state, self.execution)


class Jit(Adapter):
    """The same under ``jax.jit``; epsilon is a constant of the compiled function."""

    execution = "jit"


class _Layer(Layer):
    def __init__(self, config: LayerConfig, state: State, execution: str) -> None:
        super().__init__(config, execution, last=config.channel_axis != "second")
        channels = config.rank - 1 if self.last else 1
        others = tuple(axis for axis in range(config.rank) if axis != channels)
        initialise, self.function = stax.BatchNorm(
            others, epsilon=config.epsilon, center=config.beta, scale=config.gamma
        )
        shape = tuple(config.channels if axis == channels else 1 for axis in range(config.rank))
        _, (beta, gamma) = initialise(jax.random.key(0), shape)
        made = {"gamma": gamma, "beta": beta}
        self.variables = {name: value for name, value in made.items() if getattr(config, name)}
        self.set_state({name: array for name, array in state.items() if name in made})

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Call the function, which knows no mode."""
        return self.function((variables.get("beta", ()), variables.get("gamma", ())), x), {}

    def reload(self) -> _Layer:
        """Write the parameters as safetensors and read them, for a new layer."""
        fresh = _Layer(self.config, {}, self.execution)
        fresh.variables = through_bytes(self.variables)
        return fresh
