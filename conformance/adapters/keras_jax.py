"""Keras on JAX: ``keras.layers.BatchNormalization``, eager and under ``jax.jit``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.jax import Layer, Masked, Variables, cannot_export
from conformance.adapters.shared.keras import KerasAdapter, KerasLayer, import_keras
from conformance.adapters.shared.keras_network import Stack
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Jit"]

keras = import_keras("jax")


class Adapter(KerasAdapter):
    """One layer object per layer, called in a ``keras.StatelessScope`` as Keras' own training does on JAX."""

    execution, exports_inference = "eager", False

    def describe(self) -> Implementation:
        """Name Keras and JAX with their versions."""
        return Implementation(
            name="keras-jax", versions={"keras": keras.__version__, "jax": jax.__version__}, execution=self.execution,
            documentation="https://keras.io/api/layers/normalization_layers/batch_normalization/",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(keras.layers.BatchNormalization, "keras.layers.BatchNormalization")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance; in the scope variables are values. Freezing is ``trainable = False``."""
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="differentiable",
            recomputation="once", frozen="C", state_dtype="parameters", exported="batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the layer has no argument for, and exporting where that lacks a package."""
        return super().unsupported(case) or cannot_export(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer, and overwrite the values of its variables."""
        return _Layer(layer, state, self.execution)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> _Network:
        """Build the layers of the stack, and assign their variables."""
        return _Network(layer, network, arrays, self.execution)


class Jit(Adapter):
    """The same under ``jax.jit``."""

    execution = "jit"


class _Layer(Masked, KerasLayer):
    def __init__(self, config: LayerConfig, state: State, execution: str) -> None:
        super().__init__(config, execution, last=config.channel_axis != "second")
        self.build(keras)
        self.take()
        self.set_state(state)

    def take(self) -> None:
        """Take the values out of the variables."""
        self.variables = {name: jnp.asarray(variable.value) for name, variable in self.held().items()}

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Call the layer on these values; return those that it has assigned."""
        held, mask = self.held(), options.get("mask")
        if mask is not None:  # Keras' has no axis for the channels
            mask = jnp.squeeze(mask, -1 if self.last else 1)
        with keras.StatelessScope(state_mapping=[(held[name], value) for name, value in variables.items()]) as scope:
            y = self.layer(x, training=mode == "train", mask=mask)
        return y, {name: scope.get_current_value(held[name]) for name in ("running_mean", "running_var")}

    def set_state(self, state: State) -> None:
        """Replace values, in the dtypes of the layer's variables."""
        super().set_state({name: array.astype(self.held()[name].dtype) for name, array in state.items()})

    def forget_compiled(self) -> None:
        """Trace anew from now on."""
        self._compiled.clear()

    def model(self, **options: Any) -> Any:
        """Return a model of this one layer, its values assigned."""
        for name, variable in self.held().items():
            variable.assign(self.variables[name])
        return super().model(**options)

    def reload(self) -> Any:
        """Save and load as Keras does, and take the values out of the variables."""
        fresh = super().reload()
        fresh.take()
        return fresh

    def fresh(self) -> _Layer:
        """Return a new layer of the same configuration."""
        return _Layer(self.config, {}, self.execution)


class _Network(Layer):
    def __init__(self, config: LayerConfig, network: Network, arrays: State, execution: str) -> None:
        super().__init__(config, execution, last=False)
        self.stack = Stack(keras, config, network, arrays)
        self.set_state(self.stack.get_state())

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Call the stack on these statistics; return those that it has assigned."""
        pairs = [
            (held, value)
            for name, joined in variables.items()
            for held, value in zip(self.stack.held(name), jnp.split(joined, len(self.stack.norms)), strict=True)
        ]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            y = self.stack(x, training=mode == "train")
        if mode == "evaluate":
            return y, {}
        now = {name: [scope.get_current_value(held) for held in self.stack.held(name)] for name in variables}
        return y, {name: jnp.concatenate(values) for name, values in now.items()}
