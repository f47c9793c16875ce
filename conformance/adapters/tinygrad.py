"""tinygrad: ``tinygrad.nn.BatchNorm``, on its CPU device."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import ml_dtypes
import numpy as np

os.environ.setdefault("DEV", "CPU")

from tinygrad import Context, Tensor, dtypes, nn

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.promotion import promotes
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

_NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


class Adapter(BaseAdapter):
    """One module per layer; gradients by ``Tensor.gradient``."""

    def describe(self) -> Implementation:
        """Name tinygrad, its version and its device."""
        return Implementation(
            name="tinygrad", versions={"tinygrad": metadata.version("tinygrad")},
            documentation="https://docs.tinygrad.org/nn/#tinygrad.nn.BatchNorm",
            settings={"DEV": os.environ["DEV"]},
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(nn.BatchNorm, "tinygrad.nn.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the sample variance, detached when it is blended in."""
        return Dialect(update_gradient="detached", untracked="batch", state_dtype="parameters")

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for."""
        return next((why for why, applies in _reasons(case).items() if applies), None)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module, and replace its tensors."""
        return _Layer(layer, state)


def _reasons(case: Case) -> dict[str, bool]:
    """Return what the module lacks, each with whether the case asks for it."""
    steps = case.steps
    return {
        "nn.BatchNorm has no cumulative average: momentum is a number": case.momentum == "cumulative",
        "nn.BatchNorm takes the channels from the second axis only": (
            case.channel_axis == "last" and case.layer.rank > 2
        ),
        "16-bit input meets float32 parameters: tinygrad promotes the output to float32": promotes(case),
        "clang before 15 compiles no bfloat16": case.dtype == "bfloat16",
        "nn.BatchNorm has no masks": any(step.masked for step in steps),
        "nn.BatchNorm does not synchronise": any(step.replicas is not None for step in steps),
        "tinygrad has no gesture for freezing": any(step.freeze is not None for step in steps),
        "tinygrad has no checkpointing": any(step.recompute for step in steps),
        "tinygrad has no forward mode": any(step.jvp for step in steps),
    }


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.config, self.last = config, config.channel_axis == "last"
        momentum: Any = config.momentum  # without one it is left to tinygrad to refuse
        self.module: Any = nn.BatchNorm(
            config.channels, eps=config.epsilon, affine=config.gamma or config.beta,
            track_running_stats=config.tracked, momentum=momentum,
        )  # fmt: skip
        for name, theirs in _NAMES.items():
            tensor = getattr(self.module, theirs, None)
            if tensor is not None:
                setattr(self.module, theirs, tensor.cast(getattr(dtypes, config.param_dtype)).contiguous().realize())
            if name in ("gamma", "beta") and not getattr(config, name):
                setattr(self.module, theirs, None)
        self.set_state(state)

    def forward(self, x: Array, mode: str) -> _Forward:
        """Call the module; in train it assigns its statistics."""
        given = self.tensor(x)
        statistics = {name: tensor.clone().realize() for name, tensor in self.statistics().items()}
        with Context(TRAINING=int(mode == "train")):
            output = self.module(given)
        self.settle()
        return _Forward(self, given, output, statistics)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""
        first, second = self.tensor(earlier), self.tensor(later)
        with Context(TRAINING=1):
            self.module(first)
        with Context(TRAINING=0):
            y = self.module(second)
        (gradient,) = y.gradient(first, gradient=self.tensor(dy))
        found = self.array(gradient)
        self.settle()
        return found

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Differentiate the gradients, multiplied by the directions: the Hessian is symmetric."""
        known = {"x": self.tensor(x), "dy": self.tensor(dy), "gamma": self.module.weight}
        variables = [known[name] for name in directions]
        vectors = [self.tensor(one) if one.ndim > 1 else _to_tinygrad(one) for one in directions.values()]
        first = (self._output(known["x"], mode) * known["dy"]).sum().gradient(*variables)
        total = sum((one * vector).sum() for one, vector in zip(first, vectors, strict=True))
        found = zip(directions, total.gradient(*variables), strict=True)
        return {name: _to_numpy(one) if name == "gamma" else self.array(one) for name, one in found}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Differentiate the gradient twice, multiplied by the direction each time."""
        given, v = self.tensor(x), self.tensor(direction)
        found = self._output(given, mode)
        for vector in (self.tensor(dy), v, v):
            (found,) = (found * vector).sum().gradient(given)
        return self.array(found)

    def _output(self, x: Any, mode: str) -> Any:
        with Context(TRAINING=int(mode == "train")):
            return self.module(x)

    def settle(self) -> None:
        """Compute the statistics now, so that no later call is part of theirs."""
        for tensor in self.statistics().values():
            tensor.realize()

    def reload(self) -> _Layer:
        """Copy the state dict, and load it into a new module."""
        fresh = _Layer(self.config, {})
        saved = {name: one.clone().realize() for name, one in nn.state.get_state_dict(self.module).items()}
        nn.state.load_state_dict(fresh.module, saved, verbose=False)
        return fresh

    def statistics(self) -> dict[str, Any]:
        """Return the running statistics, none where they are not tracked."""
        if not self.config.tracked:
            return {}
        return {"running_mean": self.module.running_mean, "running_var": self.module.running_var}

    def get_state(self) -> State:
        """Return the two running statistics."""
        return {name: _to_numpy(tensor) for name, tensor in self.statistics().items()}

    def set_state(self, state: State) -> None:
        """Replace tensors by those given."""
        for name, array in state.items():
            if getattr(self.module, _NAMES[name], None) is not None:
                setattr(self.module, _NAMES[name], _to_tinygrad(array))

    def tensor(self, x: Array) -> Any:
        """Return the array, its channels moved to where the case wants them."""
        return _to_tinygrad(np.moveaxis(x, 1, -1) if self.last else x)

    def array(self, tensor: Any) -> Array:
        """Return the tensor in canonical layout."""
        array = _to_numpy(tensor)
        return np.moveaxis(array, -1, 1) if self.last else array


@dataclass(frozen=True)
class _Forward:
    """One call, with its graph and the statistics that it started from."""

    layer: _Layer
    x: Any
    output: Any
    statistics: Mapping[str, Any]

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Differentiate the graph."""
        module = self.layer.module
        known = {"x": self.x, "gamma": module.weight, "beta": module.bias, **self.layer.statistics()}
        found = self.output.gradient(*(known[name] for name in wrt), gradient=self.layer.tensor(dy))
        pairs = zip(wrt, found, strict=True)
        return {name: self.layer.array(one) if name == "x" else _to_numpy(one) for name, one in pairs}


def _to_tinygrad(x: Array) -> Any:
    x = np.ascontiguousarray(x)
    if x.dtype == ml_dtypes.bfloat16:
        return Tensor(x.view(np.uint16)).bitcast(dtypes.bfloat16).contiguous().realize()
    return Tensor(x).contiguous().realize()


def _to_numpy(tensor: Any) -> Array:
    if tensor.dtype == dtypes.bfloat16:
        return np.asarray(tensor.bitcast(dtypes.uint16).numpy()).view(ml_dtypes.bfloat16)
    return np.asarray(tensor.numpy())
