"""The oracle's formulas as a layer of the contract: what is computed is rounded to the dtype that it is computed in."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from conformance.adapters.contract import Array, LayerConfig
from conformance.adapters.contract import State as ContractState
from conformance.adapters.shared.numpy_forward import Forward
from conformance.definition import batch_norm, gradients, higher_order, running_state
from conformance.definition.batch_norm import Parameters, State, by_channel, canonical, column
from conformance.definition.constants import exported_epsilon, kept_constants
from conformance.definition.linear import Linear, folded
from conformance.definition.precision import state_dtypes, unit_of
from conformance.definition.rules import Rules
from conformance.definition.saved import saved

__all__ = ["Layer"]


class Layer:
    """One layer under given rules, in the dtype that these and the case say."""

    def __init__(self, config: LayerConfig, state: ContractState, rules: Rules) -> None:
        self.given_epsilon = config.epsilon
        config = kept_constants(config, rules.dialect)
        self.config, self.rules = config, rules
        self.work: Any = np.float64 if "float64" in (config.dtype, config.param_dtype) else np.float32
        if rules.computed_in != "own":
            self.work = np.dtype(rules.computed_in).type
        self.param_dtype = _dtype(config.param_dtype)
        self.stored_in = state_dtypes(config.param_dtype, rules, given="running_var" in state)
        own_variance = 0.0 if rules.own_variance == "zero" else 1.0
        defaults = {"gamma": 1.0, "beta": 0.0, "running_mean": 0.0, "running_var": own_variance}
        # A layer that computes in less than it was given computes so, and keeps its state as it was given.
        self.holds: Any = np.float64 if "float64" in (config.dtype, config.param_dtype) else np.float32
        held = {name: column(state.get(name), config.channels, self.holds, value) for name, value in defaults.items()}
        self.parameters = Parameters(held["gamma"].astype(self.work), held["beta"].astype(self.work), config.epsilon)
        self.state = self._kept(State(held["running_mean"], held["running_var"]))
        self.latest: batch_norm.Forward | None = None
        self.frozen = False

    def forward(self, x: Array, mode: str) -> Forward:
        """Normalise; in train, blend the batch into the state."""
        return self.forward_masked(x, mode, None)

    def forward_automatic(self, x: Array, differentiated: bool) -> Forward:  # noqa: FBT001  (the contract's)
        """Train where a gradient is taken, else evaluate."""
        return self.forward(x, "train" if differentiated else "evaluate")

    def forward_replicas(self, xs: Sequence[Array]) -> Forward:
        """Train on all rows together."""
        return self.forward(np.concatenate(xs), "train")

    def forward_masked(self, x: Array, mode: str, mask: Array | None) -> Forward:
        """Do the same with the statistics of the positions that the mask lets in."""
        done, moved = self._forward(x, mode, mask)
        self.state, self.latest = moved, done.call
        return done

    def freeze(self) -> None:
        """Do in train what the dialect says of a frozen layer."""
        self.frozen = True

    def thaw(self) -> None:
        """Train again."""
        self.frozen = False

    def forward_recomputed(self, x: Array) -> Forward:
        """Train; doing the forward again moves the state again where the dialect says so."""
        done = self.forward(x, "train")
        if self.rules.dialect.recomputation == "again":
            self.move(done.batch)
        return done

    def fold(self, x: Array, kernel: Array, bias: Array | None) -> Array:
        """Return what the linear layer with the batch norm folded into it makes of ``x``."""
        linear = Linear(kernel.astype(self.work), None if bias is None else bias.astype(self.work))
        rows = x.astype(self.work)
        return folded(linear, self.parameters, self.used, rows, self.given_epsilon, self.rules)(rows).astype(x.dtype)

    def export(self, x: Array, mode: str) -> Array:
        """Return what the formulas that are left of the layer, without its state moving, make of ``x``."""
        option = self.rules.dialect.exported if mode == "train" else self.rules.exported_statistics
        if option == "refused":
            raise ValueError("the layer is in train: put it in evaluate to export it")
        epsilon = exported_epsilon(self.config.epsilon, self.rules)
        model = copy.copy(self)
        model.parameters = replace(self.parameters, epsilon=epsilon)
        y = model.forward(x, "train" if option == "batch" else "evaluate").y
        if mode == "train" and self.rules.exporting == "moves the state":
            self.forward(x, "train")
        return y

    def reload(self) -> Layer:
        """Return a new layer with a copy of everything."""
        fresh = copy.copy(self)
        if self.rules.reload == "lost":
            fresh.state = State(np.zeros_like(self.state.mean), np.ones_like(self.state.var))
        return fresh

    def get_state(self) -> dict[str, Array]:
        """Return the running statistics in the dtype that they are kept in, that of the parameters."""
        if not self.config.tracked:
            return {}
        return {
            "running_mean": self.state.mean[:, 0].astype(self.state_dtype),
            "running_var": self.state.var[:, 0].astype(self.state_dtype),
        }

    @property
    def state_dtype(self) -> Any:
        """The dtype of the state: as it starts, and as it is once it was updated."""
        return _dtype(self.stored_in[self.state.updates > 0])

    @property
    def used(self) -> State:
        """The state in the precision that is computed in."""
        return self._used(self.state)

    def set_state(self, state: ContractState) -> None:
        """Overwrite the running statistics that are named."""
        given = {**self.get_state(), **state}
        mean = column(given["running_mean"], self.config.channels, self.holds, 0.0)
        self.state = self._kept(State(mean, column(given["running_var"], self.config.channels, self.holds, 1.0)))

    def move(self, batch: running_state.Batch) -> None:
        """Blend a batch into the state."""
        self.state = self._moved(self.state, batch)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Return the gradient with respect to ``earlier`` through the update of the state."""
        updates = self.state.updates
        first = self.forward(earlier, "train")
        if self.rules.updates == "with backward" and first.call.mode == "train":
            self.move(first.batch)
        weight = running_state.update_weight(self.state.updates, self.config.momentum, self.rules)
        second = self.forward(later, "evaluate")
        if self.rules.dialect.update_gradient == "detached" or self.state.updates == updates:
            return np.zeros_like(earlier)
        upstream = by_channel(dy.astype(self.work))
        by_state = gradients.statistics_gradients(second.call, upstream, self.rules)
        factor = running_state.variance_factor(self._batch(first.call), self.rules, self.work)
        dx = gradients.update_gradient(first.call, by_state, self.work(weight), factor)
        return canonical(dx, earlier.shape).astype(earlier.dtype)

    def _forward(self, x: Array, asked: str, mask: Array | None) -> tuple[Forward, State]:
        if x.shape[1] != self.config.channels:
            raise ValueError(f"the input has {x.shape[1]} channels, the layer {self.config.channels}")
        mode, may_move = self._effective(asked)
        rows = by_channel(x.astype(self.work))
        ignored = mask is None or self.rules.mask == "ignored"
        weights = None if ignored or mask is None else mask.reshape(1, -1).astype(self.work)
        mean, var = batch_norm.statistics(rows, x.shape, self.rules, weights)
        counted = rows.shape[1] if weights is None else int(weights.sum())
        batch = running_state.Batch(mean, var, counted, x.shape[0], self.config.epsilon)
        moved = self.state
        times = running_state.moves(mode, self.rules, with_backward=False) if may_move else 0
        for _ in range(times):
            moved = self._moved(moved, batch)
        used = self._used(self.state), self._used(moved)
        if mode == "evaluate" and self.rules.evaluate_uses == "updated":
            used = self._used(self.state), self._used(self._moved(self.state, batch))
        call = batch_norm.forward(rows, mode, x.shape, self.parameters, *used, self.rules, weights)
        call = running_state.shared(
            call, self.state, batch, self.config.momentum, self.rules, moved=times > 0
        )
        if mode == "train" and self.rules.batch_statistics == "parameters' precision":
            call = self.rounded(call, self.param_dtype)
        return Forward(self, batch, call, x.dtype), moved

    def _effective(self, asked: str) -> tuple[str, bool]:
        """Return the mode whose formulas hold, and whether the state may move, for the layer as it is."""
        dialect = self.rules.dialect
        if asked == "evaluate" and not self.config.tracked and dialect.untracked == "refused":
            raise ValueError("no running statistics are kept: there is nothing to evaluate with")
        return running_state.effective_mode(asked, dialect, tracked=self.config.tracked, frozen=self.frozen)

    def rounded(self, call: batch_norm.Forward, dtype: Any) -> batch_norm.Forward:
        """Return the call with the statistics of its batch rounded to a dtype, if that is coarser than computing."""
        return saved(call, np.dtype(dtype).name, self.rules) if unit_of(dtype) > unit_of(self.work) else call

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Return the product of the Hessian in the variables of ``directions`` with these, by variable."""
        rows = {name: self._rows(array) for name, array in directions.items()}
        found = self._derivatives(x, mode, dy, second=tuple(directions), **rows)
        products = {name: found[f"hvp_{name}"] for name in directions}
        return {
            name: one[:, 0].astype(self.param_dtype) if name == "gamma" else canonical(one, x.shape).astype(x.dtype)
            for name, one in products.items()
        }

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Return the third derivative of ``sum(y * dy)``, twice along ``direction``."""
        found = self._derivatives(x, mode, dy, third=True, x=self._rows(direction))["third_x"]
        return canonical(found, x.shape).astype(x.dtype)

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        """Return the derivative of ``y`` of that order along ``direction``."""
        (found,) = self._derivatives(x, mode, 0 * x, forward=(order,), x=self._rows(direction)).values()
        return canonical(found, x.shape).astype(x.dtype)

    def _derivatives(self, x: Array, mode: str, dy: Array, /, **asked: Any) -> dict[str, Array]:
        mode, may_move = self._effective(mode)
        at, momentum = self._rows(x), self.config.momentum
        point = higher_order.Point(
            mode, x.shape, at, self._rows(dy), self.parameters, self.used, momentum, may_move
        )
        return higher_order.derivatives(point, higher_order.Question(**asked), self.rules)

    def _rows(self, array: Array) -> Array:
        return by_channel(array.astype(self.work)) if array.ndim > 1 else array.astype(self.work).reshape(-1, 1)

    def _batch(self, call: batch_norm.Forward) -> running_state.Batch:
        return running_state.Batch(
            call.batch_mean, call.batch_var, call.count, call.shape[0], self.config.epsilon
        )

    def _used(self, state: State) -> State:
        """Return the state in the precision that is computed in; one that starts in less is used in that."""
        starts = self.rules.state_starts_in != "own" and state.dtype == self.rules.state_starts_in and not state.updates
        return _in(_dtype(state.dtype) if starts else self.work, state)

    def _moved(self, state: State, batch: running_state.Batch) -> State:
        return self._kept(running_state.update(_in(self.work, state), batch, self.config.momentum, self.rules))

    def _kept(self, state: State) -> State:
        stored_in = self.stored_in[state.updates > 0]
        if unit_of(stored_in) <= unit_of(self.holds):
            return replace(state, dtype="")
        return replace(_in(self.holds, _in(_dtype(stored_in), state)), dtype=stored_in)


def _in(dtype: Any, state: State) -> State:
    return replace(state, mean=state.mean.astype(dtype), var=state.var.astype(dtype))


def _dtype(name: str) -> Any:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
