"""Equinox on JAX: ``equinox.nn.BatchNorm`` in both of its modes, eager and under ``jax.jit``."""

from __future__ import annotations

import io
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.jax import Replicated, Variables, needs_state, refuses
from conformance.adapters.shared.jax_network import NetworkLayer
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Batch", "BatchJit", "Ema", "EmaJit"]

_AXIS = "batch"
#: Updates after which nothing is left of where a debiased average started.
_LONG = 2**30


class _Adapter(BaseAdapter):
    """One module per layer, called on each row under ``jax.vmap`` over a named axis."""

    name, mode, execution = "", "", "eager"

    def describe(self) -> Implementation:
        """Name Equinox and JAX with their versions."""
        return Implementation(
            name=self.name, versions={"equinox": equinox.__version__, "jax": jax.__version__},
            execution=self.execution, settings={"mode": self.mode},
            documentation="https://docs.kidger.site/equinox/api/nn/normalisation/",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(equinox.nn.BatchNorm, "equinox.nn.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance, and what the mode normalises with; everything is differentiable."""
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="differentiable",
            recomputation="once", state_dtype="parameters", exported="batch",
            train_statistics="updated" if self.mode == "ema" else "batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        lacks = {
            "equinox.nn.BatchNorm has no cumulative average: momentum is a number": case.momentum == "cumulative",
            "equinox.nn.BatchNorm wants a momentum below 1: it debiases by 1 - momentum^count":
                case.momentum == 0 and self.mode == "batch" and needs_state(case),
            "equinox.nn.BatchNorm always keeps running statistics":
                not case.tracked and any(step.evaluate is not None for step in case.steps),
            "an Equinox module has no gesture for freezing: the caller chooses what to differentiate by":
                any(step.freeze is not None for step in case.steps),
            "equinox.nn.BatchNorm takes no mask": any(step.masked for step in case.steps),
            "equinox.nn.BatchNorm has one dtype: what it computes has that of its parameters":
                case.layer.dtype != case.layer.param_dtype,
            "a loaded counter has lost its weak type: under jit, with 64-bit numbers enabled, float32 gives float64":
                self.execution == "jit" and self.mode == "batch" and case.dtype == "float32"
                and any(step.reload for step in case.steps),
            "equinox.nn.BatchNorm takes the channels from the first axis of a row":
                case.channel_axis == "last" and case.layer.rank > 2,
        }  # fmt: skip
        return next((why for why, lacking in lacks.items() if lacking), refuses(case))

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build module and state, and overwrite their arrays."""
        return _Layer(layer, state, self.execution, self.mode)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> NetworkLayer:
        """Build a stack with such modules in it."""
        return NetworkLayer(layer, network, arrays, self.execution, self.create)


class Batch(_Adapter):
    """``mode="batch"``: training normalises with the statistics of the batch."""

    name, mode = "equinox-batch", "batch"


class BatchJit(Batch):
    """The same under ``jax.jit``."""

    execution = "jit"


class Ema(_Adapter):
    """``mode="ema"``: training normalises with the running statistics, the batch blended in."""

    name, mode = "equinox-ema", "ema"


class EmaJit(Ema):
    """The same under ``jax.jit``."""

    execution = "jit"


class _Layer(Replicated):
    def __init__(self, config: LayerConfig, state: State, execution: str, mode: str) -> None:
        super().__init__(config, execution, last=config.channel_axis == "last")
        self.mode = mode
        momentum: Any = None if config.momentum is None else 1 - config.momentum
        self.module, state_of_a_new_one = equinox.nn.make_with_state(equinox.nn.BatchNorm)(
            config.channels, _AXIS, eps=config.epsilon,
            momentum=momentum,  # weighs the old state; without one it is left to Equinox to refuse
            channelwise_affine=config.gamma or config.beta,  # both or none: one alone keeps 1 or 0 for the other
            dtype=jnp.dtype(config.param_dtype), mode=mode,
        )  # fmt: skip
        self.kept, self.counted = (
            (self.module.ema_state_index, self.module.ema_first_time_index) if mode == "ema"
            else (self.module.batch_state_index, self.module.batch_counter)
        )  # fmt: skip
        self.state = jax.tree.flatten(state_of_a_new_one)
        self._take(self.module, state_of_a_new_one)
        self.set_state(state)

    def _take(self, module: Any, state: Any) -> None:
        """Take the variables out of module and state."""
        mean, var = state.get(self.kept)
        self.variables = {"running_mean": mean, "running_var": var, "counted": state.get(self.counted)}
        if self.config.gamma:
            self.variables["gamma"] = module.weight
        if self.config.beta:
            self.variables["beta"] = module.bias

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Call the module on each row; in train, return its state, too."""
        axis_name = options.get("axis_name")
        module, state = self._filled(variables)
        if axis_name is not None:
            module = equinox.tree_at(lambda one: one.axis_name, module, (_AXIS, axis_name))
        y, moved = jax.vmap(
            lambda row: module(row, state, inference=mode == "evaluate"), axis_name=_AXIS, out_axes=(0, None)
        )(x)
        if mode == "evaluate":
            return y, {}
        mean, var = moved.get(self.kept)
        return y, {"running_mean": mean, "running_var": var, "counted": moved.get(self.counted)}

    def _filled(self, variables: Variables) -> tuple[Any, Any]:
        """Return module and state with these arrays in them; a state object can be written to only once."""
        module = self.module
        for name, leaf in (("gamma", "weight"), ("beta", "bias")):
            if name in variables:
                module = equinox.tree_at(lambda one, leaf=leaf: getattr(one, leaf), module, variables[name])
        leaves, structure = self.state
        state = jax.tree.unflatten(structure, leaves).set(self.counted, variables["counted"])
        return module, state.set(self.kept, (variables["running_mean"], variables["running_var"]))

    def get_state(self) -> State:
        """Return what evaluating uses: in mode ``batch`` this is debiased by the number of updates."""
        state = super().get_state()
        count = int(self.variables["counted"])
        if self.mode == "ema" or count == 0:
            return state
        part = jnp.asarray(1 - self.module.momentum ** self.variables["counted"])
        return {name: np.asarray(value / part) for name, value in state.items()}

    def set_state(self, state: State) -> None:
        """Replace arrays, in the dtype of those.

        Running statistics other than a new layer's are taken for those of one that was trained for long.
        """
        new = all(np.array_equal(np.asarray(self.variables[name]), state[name]) for name in _RUNNING if name in state)
        super().set_state(state)
        if not new:
            self.variables["counted"] = jnp.array(_LONG if self.mode == "batch" else False)

    def reload(self) -> _Layer:
        """Serialise module and state, and read them into new ones."""
        file = io.BytesIO()
        equinox.tree_serialise_leaves(file, self._filled(self.variables))
        file.seek(0)
        fresh = _Layer(self.config, {}, self.execution, self.mode)
        module, state = equinox.tree_deserialise_leaves(file, fresh._filled(fresh.variables))
        fresh.state = jax.tree.flatten(state)
        fresh._take(module, state)
        return fresh


_RUNNING = ("running_mean", "running_var")
