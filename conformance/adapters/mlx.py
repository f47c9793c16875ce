"""MLX: ``mlx.nn.BatchNorm``, eager, on the processor; channels last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import ml_dtypes
import mlx.core as mx
import mlx.nn
import numpy as np

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.promotion import promotes
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case, Network, Step
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

_NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
_RELEASE = tuple(int(number) for number in metadata.version("mlx").split(".")[:2])


class Adapter(BaseAdapter):
    """One module per layer; gradients by ``mx.vjp`` of calling it with given parameters."""

    def __init__(self) -> None:
        mx.set_default_device(mx.cpu)  # float64 is to be had there only

    def describe(self) -> Implementation:
        """Name MLX and its version."""
        return Implementation(
            name="mlx", versions={"mlx": metadata.version("mlx")},
            documentation="https://ml-explore.github.io/mlx/build/html/python/nn/_autosummary/mlx.nn.BatchNorm.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(mlx.nn.BatchNorm, "mlx.nn.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare what changed in 0.32, the variance and float64 scalars; arrays are values: all is differentiable.

        Before 0.32 the running variance is the population's, and a Python number meets a float64 array as float32.
        ``freeze`` takes parameters out of ``trainable_parameters`` and changes no call.
        """
        old = _RELEASE < (0, 32)
        return Dialect(
            running_variance="population" if old else "sample",  # https://github.com/ml-explore/mlx/pull/3817
            constants="float32 both" if old and layer.param_dtype == "float64" else "own",
            statistics_gradient="leaf", update_gradient="differentiable", recomputation="once", frozen="A",
            untracked="batch", state_dtype="parameters", exported="batch",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        steps, rank = case.steps, case.layer.rank
        lacks = {
            "nn.BatchNorm has no cumulative average: momentum is a number": case.momentum == "cumulative",
            "nn.BatchNorm takes 2 to 4 dimensions": rank == 5,
            "nn.BatchNorm takes the channels from the last axis only": case.channel_axis == "second" and rank > 2,
            "16-bit input meets float32 parameters: MLX promotes the output to float32": promotes(case),
            "nn.BatchNorm has no masks and does not synchronise":
                any(step.masked or step.replicas is not None for step in steps),
            "before MLX 0.31 forward mode, by which second derivatives are asked, has no rule for sums":
                _RELEASE < (0, 31) and any(_adds_up(step) for step in steps),
            "before MLX 0.31 float64 numbers are read from a file as complex64":
                _RELEASE < (0, 31) and case.layer.param_dtype == "float64" and any(step.reload for step in steps),
            "mx.erf, of which GELU is made, computes float64 in float32":
                case.network is not None and case.dtype == "float64",
        }  # fmt: skip
        return next((why for why, lacking in lacks.items() if lacking), None)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module, and replace its arrays."""
        return _Layer(layer, state)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> _Network:
        """Build the modules of the stack, and replace their arrays."""
        return _Network(layer, network, arrays)


def _adds_up(step: Step) -> bool:
    """Tell whether a derivative by forward mode passes through a sum: of a batch, or over one for gamma's."""
    return step.differentiates and (step.mode == "train" or "gamma" in step.hvp)


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.config, self.second = config, config.channel_axis == "second"
        momentum: Any = config.momentum  # without one it is left to MLX to refuse
        self.module: Any = mlx.nn.BatchNorm(
            config.channels, eps=config.epsilon, momentum=momentum, affine=config.gamma or config.beta,
            track_running_stats=config.tracked,
        )  # fmt: skip
        self.module.set_dtype(getattr(mx, config.param_dtype))
        self.set_state(state)

    def forward(self, x: Array, mode: str) -> _Forward:
        """Call the module; in train it replaces its statistics."""
        return self._forward(x, lambda variables, at: self._pure(variables, at, mode))

    def forward_recomputed(self, x: Array) -> _Forward:
        """Call the module in train under ``mx.checkpoint``."""
        return self._forward(x, mx.checkpoint(lambda variables, at: self._pure(variables, at, "train")))

    def _forward(self, x: Array, call: Callable[[Any, Any], Any]) -> _Forward:
        variables, given = self.variables, self.tensor(x)
        y, *moved = call(variables, given)
        self.take_over(moved)
        return _Forward(self, call, variables, given, y)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""
        variables, second = self.variables, self.tensor(later)

        def both(first: Any) -> list[Any]:
            _, *moved = self._pure(variables, first, "train")
            given = {**variables, **dict(zip(("running_mean", "running_var"), moved, strict=False))}
            return [self._pure(given, second, "evaluate")[0], *moved]

        outputs = both(self.tensor(earlier))
        _, (gradient,) = mx.vjp(lambda first: both(first)[0], [self.tensor(earlier)], [self.tensor(dy)])
        self.take_over(outputs[1:])
        return self.array(gradient)

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Push the directions through ``mx.grad``."""
        known = {"x": self.tensor(x), "dy": self.tensor(dy), **self.variables}
        names = list(directions)
        vectors = [self.tensor(one) if one.ndim > 1 else _to_mlx(one) for one in directions.values()]

        def total(*variables: Any) -> Any:
            at = {**known, **dict(zip(names, variables, strict=True))}
            held = {name: at[name] for name in self.variables}
            return (self._pure(held, at["x"], mode)[0] * at["dy"]).sum()

        def gradient(*variables: Any) -> list[Any]:
            return [mx.grad(total, argnums=index)(*variables) for index in range(len(names))]

        _, found = mx.jvp(gradient, [known[name] for name in names], vectors)
        pairs = zip(names, found, strict=True)
        return {name: _to_numpy(one) if name == "gamma" else self.array(one) for name, one in pairs}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Push the direction through ``mx.grad``, twice."""
        upstream, v, held = self.tensor(dy), self.tensor(direction), self.variables
        gradient = mx.grad(lambda at: (self._pure(held, at, mode)[0] * upstream).sum())
        return self.array(_along(_along(gradient, v), v)(self.tensor(x)))

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Push the direction through the call, as often as the order says."""
        held = self.variables
        derivative: Callable[[Any], Any] = lambda at: self._pure(held, at, mode)[0]  # noqa: E731
        for _ in range(order):
            derivative = _along(derivative, self.tensor(direction))
        return self.array(derivative(self.tensor(x)))

    def export(self, x: Array, mode: str) -> Array:
        """Export the call in that mode by ``mx.export_function``, with the arrays in it, and call what is read back."""
        given = self.tensor(x)
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "layer.mlxfn")
            # Pure: what is traced in train would stay in the module, as arrays without values.
            held = self.variables
            mx.export_function(file, lambda one: self._pure(held, one, mode)[0], given)
            loaded: Any = mx.import_function(file)
            return self.array(loaded(given)[0])

    def freeze(self) -> None:
        """Take the parameters out of those that are trained."""
        self.module.freeze()

    def thaw(self) -> None:
        """Take them back."""
        self.module.unfreeze()

    def reload(self) -> _Layer:
        """Save the weights to a file and load them into a new module."""
        fresh = _Layer(self.config, {})
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "weights.npz")  # MLX writes no float64 as safetensors
            self.module.save_weights(file)
            fresh.module.load_weights(file)
            mx.eval(fresh.module.parameters())
        for name, array in fresh.variables.items():
            if array.dtype != self.variables[name].dtype:  # https://github.com/ml-explore/mlx/issues/2958
                raise TypeError(f"{name} was saved as {self.variables[name].dtype} and read as {array.dtype}")
        return fresh

    @property
    def variables(self) -> dict[str, Any]:
        """Return the module's arrays, by the names of the contract."""
        held = self.module.parameters()
        return {name: held[theirs] for name, theirs in _NAMES.items() if theirs in held}

    def take_over(self, moved: Sequence[Any]) -> None:
        """Keep the statistics that a call has left."""
        self.set_arrays(dict(zip(("running_mean", "running_var"), moved, strict=False)))

    def set_arrays(self, arrays: Mapping[str, Any]) -> None:
        """Replace arrays of the module."""
        self.module.update({_NAMES[name]: array for name, array in arrays.items()})

    def _pure(self, variables: Mapping[str, Any], x: Any, mode: str) -> list[Any]:
        """Return the output and the statistics after the call; the module keeps neither."""
        kept = self.variables
        self.set_arrays(variables)
        y = self.module.train(mode == "train")(x)
        after = self.variables
        self.set_arrays(kept)
        return [y, *(after[name] for name in ("running_mean", "running_var") if name in after)]

    def get_state(self) -> State:
        """Return the two running statistics."""
        return {name: _to_numpy(one) for name, one in self.variables.items() if name.startswith("running")}

    def set_state(self, state: State) -> None:
        """Replace arrays by those given; a module has gamma and beta both or neither, then 1 or 0."""
        held = self.variables
        self.set_arrays({name: _to_mlx(array) for name, array in state.items() if name in held})

    def tensor(self, x: Array) -> Any:
        """Return the array, its channels moved to where the case wants them: last, if it does not say."""
        return _to_mlx(x if self.second else np.moveaxis(x, 1, -1))

    def array(self, tensor: Any) -> Array:
        """Return the tensor in canonical layout."""
        array = _to_numpy(tensor)
        return array if self.second else np.moveaxis(array, -1, 1)


class _Network(_Layer):
    """A ``Sequential``; its arrays are the statistics of all batch norms, joined."""

    def __init__(self, config: LayerConfig, network: Network, arrays: State) -> None:
        if _RELEASE < (0, 31) and config.param_dtype == "float64":  # it would end the process
            raise TypeError("before MLX 0.31 addmm knows no float64")
        self.config, self.second = config, True
        parts = {name: np.split(arrays[name], network.blocks) for name in _NAMES if name in arrays}
        self.norms = [
            _Layer(config, {name: part[k] for name, part in parts.items()}).module for k in range(network.blocks)
        ]
        root = _to_mlx(np.sqrt(np.asarray([2], config.dtype)))  # MLX before 0.32 makes of a number a float32 one

        def gelu(x: Any) -> Any:
            return x * 0.5 * (mx.erf(x / root) + 1.0)

        layers: list[Any] = []
        for k in range(1, network.blocks + 2):
            kernel = arrays[f"kernel_{k}"]
            dense = mlx.nn.Linear(kernel.shape[1], kernel.shape[0])
            dense.update({"weight": _to_mlx(kernel), "bias": _to_mlx(arrays[f"bias_{k}"])})
            layers += [dense, *((self.norms[k - 1], gelu) if k <= network.blocks else ())]
        self.module = mlx.nn.Sequential(*layers)

    @property
    def variables(self) -> dict[str, Any]:
        """Return the running statistics of all batch norms, joined."""
        return {name: mx.concatenate([norm[name] for norm in self.norms]) for name in ("running_mean", "running_var")}

    def set_arrays(self, arrays: Mapping[str, Any]) -> None:
        """Replace the running statistics of every batch norm."""
        for name, joined in arrays.items():
            for norm, part in zip(self.norms, mx.split(joined, len(self.norms)), strict=True):
                norm.update({name: part})


@dataclass(frozen=True)
class _Forward:
    """One call, with what it was called on."""

    layer: _Layer
    call: Callable[[Any, Any], Any]
    variables: Mapping[str, Any]
    x: Any
    output: Any

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Pull ``dy`` back to those variables that are asked for."""
        known = {**self.variables, "x": self.x}

        def output(*given: Any) -> Any:
            at = {**known, **dict(zip(wrt, given, strict=True))}
            return self.call({name: at[name] for name in self.variables}, at["x"])[0]

        _, found = mx.vjp(output, [known[name] for name in wrt], [self.layer.tensor(dy)])
        pairs = zip(wrt, found, strict=True)
        return {name: self.layer.array(one) if name == "x" else _to_numpy(one) for name, one in pairs}


def _along(function: Callable[[Any], Any], v: Any) -> Callable[[Any], Any]:
    """Return the derivative of a function along ``v``, by forward mode."""
    return lambda at: mx.jvp(function, [at], [v])[1][0]


def _to_mlx(x: Array) -> Any:
    if x.dtype == ml_dtypes.bfloat16:
        return mx.array(np.ascontiguousarray(x).view(np.uint16)).view(mx.bfloat16)
    return mx.array(np.ascontiguousarray(x), dtype=getattr(mx, x.dtype.name))


def _to_numpy(array: Any) -> Array:
    if array.dtype == mx.bfloat16:
        return np.array(array.view(mx.uint16)).view(ml_dtypes.bfloat16)
    return np.array(array)
