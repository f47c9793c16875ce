"""Haiku on JAX: ``haiku.BatchNorm``, eager and under ``jax.jit``."""

from __future__ import annotations

from typing import Any

import haiku
import jax
import jax.numpy as jnp
import jmp
import numpy as np

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.jax import Replicated, Variables, needs_state, refuses, through_bytes
from conformance.adapters.shared.jax_network import NetworkLayer
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Jit"]

_MODULE, _MEAN, _VAR = "batch_norm", "batch_norm/~/mean_ema", "batch_norm/~/var_ema"
_PARAMETERS = {"gamma": "scale", "beta": "offset"}
#: Module and name of each entry of the state. What evaluating uses is ``average``, the debiased ``hidden``.
_STATE = {
    "running_mean": (_MEAN, "average"), "hidden_mean": (_MEAN, "hidden"), "count_mean": (_MEAN, "counter"),
    "running_var": (_VAR, "average"), "hidden_var": (_VAR, "hidden"), "count_var": (_VAR, "counter"),
}  # fmt: skip


class Adapter(BaseAdapter):
    """The module transformed into functions of its parameters and state, which are kept here.

    A state that is given is that of a layer which has counted no update: Haiku debiases from there.
    """

    execution = "eager"

    def describe(self) -> Implementation:
        """Name Haiku and JAX with their versions."""
        return Implementation(
            name="haiku", versions={"haiku": haiku.__version__, "jax": jax.__version__}, execution=self.execution,
            documentation="https://dm-haiku.readthedocs.io/en/latest/api.html#batchnorm",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(haiku.BatchNorm, "haiku.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance and the debiased average; parameters and state are values."""
        return Dialect(
            running_variance="population", first_update="debias", statistics_gradient="leaf",
            update_gradient="differentiable", recomputation="once", state_dtype="parameters", exported="batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        lacks = {
            "haiku.BatchNorm has no cumulative average: decay_rate is a number": case.momentum == "cumulative",
            "haiku.BatchNorm wants a decay_rate below 1: it debiases by 1 - decay_rate^count":
                case.momentum == 0 and needs_state(case),
            "a new haiku.BatchNorm has the statistics of the batch that init is called with, and no others":
                case.state == "own" and case.steps[0].evaluate is not None,
            "haiku.BatchNorm always keeps running statistics":
                not case.tracked and any(step.evaluate is not None for step in case.steps),
            "haiku has no gesture for freezing: parameters are values that the caller updates or not":
                any(step.freeze is not None for step in case.steps),
            "haiku.BatchNorm takes no mask": any(step.masked for step in case.steps),
        }  # fmt: skip
        return next((why for why, lacking in lacks.items() if lacking), refuses(case))

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Transform the module, initialise its parameters and state and overwrite them."""
        return _Layer(layer, state, self.execution)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> NetworkLayer:
        """Build a stack with such modules in it."""
        return NetworkLayer(layer, network, arrays, self.execution, self.create)


class Jit(Adapter):
    """The same under ``jax.jit``; decay rate and epsilon are constants of the compiled function."""

    execution = "jit"


class _Layer(Replicated):
    def __init__(self, config: LayerConfig, state: State, execution: str) -> None:
        super().__init__(config, execution, last=config.channel_axis != "second")
        x = np.zeros((1, config.channels, *(1,) * (config.rank - 2)), config.dtype)
        made = self._transformed(None).init(None, self.tensor(x), training=True)
        self.shapes = jax.tree.map(jnp.shape, made, is_leaf=lambda one: hasattr(one, "shape"))
        self.variables = _flat(*made)
        self.set_state(state)

    def _transformed(self, axis_name: str | None) -> haiku.TransformedWithState:
        """Return the functions of the module, in the precision that Haiku's guide gives to batch norms.

        Statistics and parameters are computed in that of the parameters, the output is in that of the input.
        """
        config = self.config
        decay: Any = None if config.momentum is None else 1 - config.momentum
        full = jnp.dtype(config.param_dtype)
        policy = jmp.Policy(compute_dtype=full, param_dtype=full, output_dtype=jnp.dtype(config.dtype))

        def call(x: Any, *, training: bool) -> Any:
            haiku.mixed_precision.set_policy(haiku.BatchNorm, policy)
            module = haiku.BatchNorm(
                create_scale=config.gamma, create_offset=config.beta,
                decay_rate=decay,  # weighs the old state; without one it is left to Haiku to refuse
                eps=config.epsilon, data_format="N...C" if self.last else "NC...", cross_replica_axis=axis_name,
                name=_MODULE,
            )  # fmt: skip
            return module(x, is_training=training)

        return haiku.transform_with_state(call)

    def apply(self, variables: Variables, x: Any, mode: str, **options: Any) -> tuple[Any, Variables]:
        """Apply the transformed module; in train, return its state, too."""
        functions = self._transformed(options.get("axis_name"))
        y, moved = functions.apply(*self._trees(variables), None, x, training=mode == "train")
        return y, {} if mode == "evaluate" else _flat({}, moved)

    def _trees(self, variables: Variables) -> tuple[Any, Any]:
        """Return parameters and state as Haiku has them, in its shapes."""
        parameters = {
            leaf: variables[name].reshape(self.shapes[0][_MODULE][leaf])
            for name, leaf in _PARAMETERS.items() if name in variables
        }  # fmt: skip
        state: dict[str, dict[str, Any]] = {}
        for name, (module, leaf) in _STATE.items():
            state.setdefault(module, {})[leaf] = variables[name].reshape(self.shapes[1][module][leaf])
        return ({_MODULE: parameters} if parameters else {}), state

    def get_state(self) -> State:
        """Return the averages, and what they are made from: the sums that are debiased, and their counts."""
        return {name: np.asarray(self.variables[name]) for name in _STATE}

    def set_state(self, state: State) -> None:
        """Replace the averages by the arrays given, in the dtype of those; alone, they are as before any update."""
        super().set_state(state)
        for name in ("mean", "var"):
            if f"running_{name}" in state and f"hidden_{name}" not in state:
                fresh = jnp.zeros_like(self.variables[f"running_{name}"])
                self.variables |= {f"hidden_{name}": fresh, f"count_{name}": jnp.zeros((), jnp.int32)}

    def reload(self) -> _Layer:
        """Write parameters and state as safetensors and read them, for a new layer."""
        fresh = _Layer(self.config, {}, self.execution)
        fresh.variables = through_bytes(self.variables)
        return fresh


def _flat(parameters: Any, state: Any) -> Variables:
    """Return Haiku's parameters and state by their names here, vectors of shape ``(C,)``."""
    own = parameters.get(_MODULE, {})
    found = {name: own[leaf] for name, leaf in _PARAMETERS.items() if leaf in own}
    found |= {name: state[module][leaf] for name, (module, leaf) in _STATE.items()}
    return {name: jnp.asarray(value).reshape(() if name.startswith("count") else -1) for name, value in found.items()}
