"""PyTorch: the modules by ``torch.func.functional_call``, differentiated by ``torch.func``; also under ``vmap``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import torch as shared
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.torch import Tensors
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Vmapped"]

_TORCH_NAMES = {"gamma": "weight", "beta": "bias"}


class Adapter(BaseAdapter):
    """Parameters and buffers are values; a call gives the output and the buffers that it has moved."""

    def describe(self) -> Implementation:
        """Name PyTorch and its version."""
        return Implementation(
            name="torch-func", versions={"torch": torch.__version__},
            documentation="https://docs.pytorch.org/docs/stable/func.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(torch.nn.BatchNorm2d, "torch.nn.BatchNorm2d")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare what the module does: copies of its buffers are moved in place, unseen by the derivatives."""
        return Dialect(
            statistics_gradient="refused", update_gradient="detached", frozen="A", untracked="batch",
            state_dtype="parameters",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what does not go with ``torch.func``."""
        if any(step.recompute for step in case.steps):
            return "torch.utils.checkpoint does not go with torch.func: it saves tensors by hooks"
        return shared.unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module, and take its tensors as values."""
        return _Layer(layer, state)


class Vmapped(Adapter):
    """Two layers as one, by ``torch.vmap`` over stacked tensors, as ensembles are trained; the first is looked at."""

    def describe(self) -> Implementation:
        """Name the execution."""
        return replace(super().describe(), execution="vmap")

    def unsupported(self, case: Case) -> str | None:
        """Refuse what does not go with ``vmap``, too."""
        if case.momentum == "cumulative":
            return "the module counts its batches by item(), which vmap refuses"
        if case.layer.dtype in ("float16", "bfloat16") and case.layer.param_dtype != case.dtype:
            return "under vmap, 16-bit input takes parameters and buffers of its own dtype only"
        return super().unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer that is looked at."""
        return _Vmapped(layer, state)


class _Layer(shared.ModuleLayer):
    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> Any:
        """Return the output only."""
        return self.pure({}, x, mode, buffers)[0]

    def pure(
        self, parameters: Tensors, x: torch.Tensor, mode: str, buffers: Tensors | None = None
    ) -> tuple[Any, dict[str, torch.Tensor]]:
        """Return the output, and copies of the buffers as the call leaves them."""
        given = {**self.values, **parameters}
        moved = {name: buffer.clone() for name, buffer in (buffers or self.buffers).items()}
        return self.applied({_TORCH_NAMES[name]: one for name, one in given.items()}, moved, x, mode)

    def applied(self, parameters: Tensors, buffers: dict[str, Any], x: torch.Tensor, mode: str) -> tuple[Any, Any]:
        """Call the module with these tensors for its own."""
        module = self.module.train(mode == "train")
        return torch.func.functional_call(module, {**parameters, **buffers}, (x,)), buffers

    @property
    def values(self) -> dict[str, torch.Tensor]:
        """Return gamma and beta as plain tensors."""
        return {name: one.detach() for name, one in self.parameters.items()}

    def forward(self, x: Array, mode: str) -> Any:
        """Keep the pullback; in train, take over the buffers."""
        before = {name: buffer.clone() for name, buffer in self.buffers.items()}
        given = self.tensor(x)
        y, pullback, moved = torch.func.vjp(
            lambda parameters, at: self.pure(parameters, at, mode), self.values, given, has_aux=True
        )
        self.take_over(moved)
        return _Forward(self, mode, given, y, before, pullback)

    def take_over(self, moved: Tensors) -> None:
        """Overwrite the buffers."""
        for name, buffer in self.buffers.items():
            buffer.copy_(moved[name])

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation with the buffers that a training call on ``earlier`` has moved."""
        second = self.tensor(later)

        def both(first: torch.Tensor) -> tuple[Any, Any]:
            moved = self.pure({}, first, "train")[1]
            return self.pure({}, second, "evaluate", moved)[0], moved

        _, pullback, moved = torch.func.vjp(both, self.tensor(earlier), has_aux=True)
        self.take_over(moved)
        return self.array(pullback(self.tensor(dy))[0])

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Push the directions through ``torch.func.grad``."""
        known = {"x": self.tensor(x), "dy": self.tensor(dy), **self.values}
        at = tuple(known[name] for name in directions)
        vectors = tuple(
            self.tensor(one) if one.ndim > 1 else shared.to_tensor(one) for one in directions.values()
        )

        def total(*variables: torch.Tensor) -> Any:
            given = known | dict(zip(directions, variables, strict=True))
            parameters = {name: given[name] for name in self.values}
            return (self.pure(parameters, given["x"], mode)[0] * given["dy"]).sum()

        gradient = torch.func.grad(total, argnums=tuple(range(len(at))))
        found = dict(zip(directions, torch.func.jvp(gradient, at, vectors)[1], strict=True))
        return {name: shared.to_numpy(one) if name == "gamma" else self.array(one) for name, one in found.items()}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Push the direction through ``torch.func.grad``, twice."""
        upstream, v = self.tensor(dy), self.tensor(direction)
        gradient = torch.func.grad(lambda at: (self.call(at, mode) * upstream).sum())
        return self.array(shared.along(shared.along(gradient, v), v)(self.tensor(x)))


class _Vmapped(_Layer):
    def applied(self, parameters: Tensors, buffers: dict[str, Any], x: torch.Tensor, mode: str) -> tuple[Any, Any]:
        """Call two layers at once, the other one on other values, which nothing is differentiated by."""
        many = torch.vmap(lambda given, held, at: super(_Vmapped, self).applied(given, held, at, mode))
        y, moved = many(_pairs(parameters), _pairs(buffers), torch.stack([x, torch.ones_like(x).cumsum(0)]))
        return y[0], {name: both[0] for name, both in moved.items()}


def _pairs(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.stack([one, torch.full_like(one, 2)]) for name, one in tensors.items()}


@dataclass(frozen=True)
class _Forward(shared.Forward):
    """One call, with its pullback to parameters and input."""

    pullback: Callable[[torch.Tensor], Any]

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Pull ``dy`` back, also to the statistics if they are asked for."""
        upstream = self.layer.tensor(dy)
        parameters, x = self.pullback(upstream)
        found = {"x": x, **parameters}
        if not found.keys() >= set(wrt):
            found |= self._statistics(upstream)
        return {name: self.layer.array(found[name]) if name == "x" else shared.to_numpy(found[name]) for name in wrt}

    def _statistics(self, upstream: torch.Tensor) -> dict[str, torch.Tensor]:
        floating = {name: one for name, one in self.before.items() if one.is_floating_point()}
        _, pullback = torch.func.vjp(
            lambda given: self.layer.call(self.x, self.mode, {**self.before, **given}), floating
        )
        return dict(pullback(upstream)[0])
