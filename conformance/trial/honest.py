"""Honest implementations: what good kernels do, in any stable order of operations. None may be accused."""

# NumPy types operations on arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import ml_dtypes
import numpy as np

from conformance.adapters.contract import Adapter, Array, Implementation, LayerConfig
from conformance.adapters.contract import State as ContractState
from conformance.definition.batch_norm import Parameters, State
from conformance.definition.dialect import Dialect
from conformance.definition.higher_order import Point, Question, derivatives
from conformance.definition.linear import Linear
from conformance.definition.rules import Rules
from conformance.trial.sums import SUMS, VARIANCES, Sum

__all__ = ["HonestAdapter", "Orders"]

_DIALECT = Dialect(
    statistics_gradient="leaf", update_gradient="differentiable", recomputation="once", frozen="C", untracked="batch",
    state_dtype="parameters", exported="batch",
)  # fmt: skip

Normalise = Literal["centred", "scale first", "divided", "approximate root", "folded"]
Backward = Literal["formula", "sums", "autodiff", "projection", "uncentred"]
Update = Literal["blend", "blend rounded", "incremental", "complement"]


@dataclass(frozen=True)
class Orders:
    """The order of operations of one honest implementation."""

    sums: str = "pairwise"
    variance: str = "two-pass"
    normalise: Normalise = "centred"
    backward: Backward = "formula"
    update: Update = "blend"

    @classmethod
    def drawn(cls, draw: random.Random, *, small: bool) -> Orders:
        """Return a random one; recurrences that NumPy runs value by value only for ``small`` batches."""
        variances = [name for name in VARIANCES if small or not name.startswith("Welford")]
        return cls(
            draw.choice(list(SUMS)), draw.choice(variances), draw.choice(get_args(Normalise)),
            draw.choice(get_args(Backward)), draw.choice(get_args(Update)),
        )  # fmt: skip

    @property
    def good(self) -> bool:
        """Tell whether the tight bound is meant for it: two passes, pairwise sums, nothing folded."""
        return (
            self.sums == "pairwise" and self.variance.startswith("two-pass")
            and self.normalise != "folded" and self.backward != "uncentred"
        )  # fmt: skip


class HonestAdapter(Adapter):
    """A batch norm that computes float64 in float64, and anything else in float32."""

    def __init__(self, orders: Orders | None = None) -> None:
        self.orders = Orders() if orders is None else orders

    def describe(self) -> Implementation:
        """Name it."""
        return Implementation(name="honest", versions={"numpy": np.__version__})

    def dialect_for(self, layer: LayerConfig) -> Dialect:  # noqa: ARG002  (the contract's)
        """Declare the paper's choices, and one option of each that it leaves."""
        return _DIALECT

    def create(self, layer: LayerConfig, state: ContractState) -> _Layer:
        """Build a layer."""
        return _Layer(layer, state, self.orders)


class _Layer:
    def __init__(self, config: LayerConfig, state: ContractState, orders: Orders) -> None:
        self.config, self.orders = config, orders
        double = "float64" in (config.dtype, config.param_dtype)
        self.work: type[np.floating[Any]] = np.float64 if double else np.float32
        self.total: Sum = SUMS[orders.sums]
        self.param_dtype: Any = np.dtype(getattr(ml_dtypes, config.param_dtype, config.param_dtype))
        defaults = {"gamma": 1.0, "beta": 0.0, "running_mean": 0.0, "running_var": 1.0}
        for name, value in defaults.items():
            given = state.get(name, np.full(config.channels, value))
            setattr(self, name, given.astype(self.work).reshape(-1, 1))
        self.gamma: Array
        self.beta: Array
        self.running_mean: Array
        self.running_var: Array
        self.updates = 0
        self.frozen = False

    def forward(self, x: Array, mode: str) -> _Forward:
        return self.forward_masked(x, mode, None)

    def forward_automatic(self, x: Array, differentiated: bool) -> _Forward:  # noqa: FBT001  (the contract's)
        return self.forward(x, "train" if differentiated else "evaluate")

    def forward_masked(self, x: Array, mode: str, mask: Array | None) -> _Forward:
        if x.shape[1] != self.config.channels:
            raise ValueError(f"{x.shape[1]} channels, expected {self.config.channels}")
        rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1).astype(self.work)
        if self.mode(mode) == "evaluate":
            return _Forward(self, x, rows, self.running_mean, self.running_var)
        let_in = np.ones(rows.shape[1], bool) if mask is None else mask.reshape(-1).astype(bool)
        mean, var = VARIANCES[self.orders.variance](np.ascontiguousarray(rows[:, let_in]), self.total)
        if mode == "train" and self.config.tracked:
            self._update(mean, var * self.factor(int(let_in.sum())))
        return _Forward(self, x, rows, mean, var, let_in)

    def forward_replicas(self, xs: Sequence[Array]) -> _Forward:
        return self.forward(np.concatenate(xs), "train")

    def forward_recomputed(self, x: Array) -> _Forward:
        return self.forward(x, "train")

    def fold(self, x: Array, kernel: Array, bias: Array | None) -> Array:
        """Scale the kernel by unit, and shift; the bias apart from the mean where outputs are folded, too."""
        factor = self.gamma / np.sqrt(self.running_var + self.work(self.config.epsilon))
        given = np.zeros_like(factor) if bias is None else bias.astype(self.work).reshape(-1, 1)
        if self.orders.normalise == "folded":
            offset = given * factor + (self.beta - self.running_mean * factor)
        else:
            offset = (given - self.running_mean) * factor + self.beta
        scaled = kernel.astype(self.work) * factor.reshape(-1, *(1,) * (kernel.ndim - 1))
        return Linear(scaled, offset[:, 0])(x.astype(self.work)).astype(x.dtype)

    def export(self, x: Array, mode: str) -> Array:
        """Return what a copy of the layer, in its mode, makes of ``x``."""
        return copy.copy(self).forward(x, mode).y

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False

    def reload(self) -> _Layer:
        return copy.copy(self)

    def mode(self, asked: str) -> str:
        """Return the mode whose formulas hold."""
        if asked == "train":
            return "evaluate" if self.frozen else "train"
        return "evaluate" if self.config.tracked else "train"

    def get_state(self) -> Mapping[str, Array]:
        names = ("running_mean", "running_var") if self.config.tracked else ()
        return {name: getattr(self, name)[:, 0].astype(self.param_dtype) for name in names}

    def set_state(self, state: ContractState) -> None:
        for name in ("running_mean", "running_var"):
            setattr(self, name, state[name].astype(self.work).reshape(-1, 1))

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        along = {name: self._rows(array) for name, array in directions.items()}
        found = self._derivatives(x, mode, dy, second=tuple(directions), **along)
        return {
            name: found["hvp_gamma"][:, 0].astype(self.param_dtype) if name == "gamma"
            else _canonical(found[f"hvp_{name}"], x)
            for name in directions
        }  # fmt: skip

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        return _canonical(self._derivatives(x, mode, dy, third=True, x=self._rows(direction))["third_x"], x)

    def jvp(self, x: Array, mode: str, direction: Array, order: int) -> Array:
        (found,) = self._derivatives(x, mode, 0 * x, forward=(order,), x=self._rows(direction)).values()
        return _canonical(found, x)

    def _derivatives(self, x: Array, mode: str, dy: Array, /, **asked: Any) -> dict[str, Array]:
        """Differentiate the formulas, folded or not, in the order of operations of Taylor numbers."""
        state = State(self.running_mean, self.running_var, self.updates)
        parameters = Parameters(self.gamma, self.beta, self.config.epsilon)
        rows = self._rows(x), self._rows(dy)
        point = Point(self.mode(mode), x.shape, *rows, parameters, state, self.config.momentum)
        folded = self.orders.normalise == "folded"
        return derivatives(point, Question(**asked), Rules(dialect=_DIALECT), folded=folded)

    def _rows(self, array: Array) -> Array:
        rows = np.moveaxis(array, 1, 0) if array.ndim > 1 else array
        return np.ascontiguousarray(rows).reshape(len(rows), -1).astype(self.work)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        first = self.forward(earlier, "train")
        if first.let_in is None:
            return np.zeros_like(earlier)
        weight = self.weight(self.updates)
        gradients = self.forward(later, "evaluate").backward(dy, ("running_mean", "running_var"))
        by_mean, by_var = (gradients[name].astype(self.work)[:, None] for name in ("running_mean", "running_var"))
        n = first.rows.shape[1]
        by_var = by_var * (weight * self.factor(n))
        if self.orders.backward == "uncentred":
            rows = (weight * by_mean / n - 2 * by_var * first.mean / n) + 2 * first.rows * by_var / n
        else:
            rows = weight * by_mean / n + 2 * (first.rows - first.mean) * by_var / n
        return _canonical(rows, earlier)

    def factor(self, n: int) -> np.floating[Any]:
        return self.work(n) / self.work(n - 1)

    def weight(self, k: int) -> np.floating[Any]:
        return self.work(1 / k if self.config.momentum is None else self.config.momentum)

    def _update(self, mean: Array, var: Array) -> None:
        self.updates += 1
        for name, new in (("running_mean", mean), ("running_var", var)):
            stored = self._blended(getattr(self, name), new).astype(self.param_dtype)
            setattr(self, name, stored.astype(self.work))

    def _blended(self, old: Array, new: Array) -> Array:
        weight, one = self.weight(self.updates), self.work(1)
        exact = 1 / self.updates if self.config.momentum is None else self.config.momentum
        kept = self.work(1 - exact)
        if self.orders.update == "incremental":
            return old + weight * (new - old)
        if self.orders.update == "complement":
            return old - (old - new) * (one - kept)
        return (kept if self.orders.update == "blend rounded" else one - weight) * old + weight * new


class _Forward:
    """A forward; ``let_in`` tells which values made its statistics, ``None`` that those were given."""

    def __init__(
        self, layer: _Layer, x: Array, rows: Array, mean: Array, var: Array, let_in: Array | None = None
    ) -> None:
        self.layer, self.x, self.rows, self.mean, self.let_in = layer, x, rows, mean, let_in
        one = layer.work(1)
        self.scale = np.sqrt(var + layer.work(layer.config.epsilon))
        self.inverse = one / self.scale
        if layer.orders.normalise == "approximate root":
            self.inverse = np.nextafter(self.inverse, one)

    @property
    def xhat(self) -> Array:
        return (self.rows - self.mean) * self.inverse

    @property
    def y(self) -> Array:
        gamma, beta, deviation = self.layer.gamma, self.layer.beta, self.rows - self.mean
        order = self.layer.orders.normalise
        if order == "folded":
            factor = self.inverse * gamma
            rows = self.rows * factor + (beta - self.mean * factor)
        elif order == "divided":
            rows = gamma * (deviation / self.scale) + beta
        elif order == "scale first":
            rows = deviation * (self.inverse * gamma) + beta
        else:
            rows = gamma * self.xhat + beta
        return _canonical(rows, self.x)

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        layer = self.layer
        upstream = np.moveaxis(dy, 1, 0).reshape(dy.shape[1], -1).astype(layer.work)
        dbeta, dgamma = layer.total(upstream), self._dgamma(upstream)
        half = layer.work(-0.5)
        statistics = {
            "gamma": dgamma, "beta": dbeta, "running_mean": -(layer.gamma * self.inverse) * dbeta,
            "running_var": half * layer.gamma * (self.inverse * self.inverse) * dgamma,
        }  # fmt: skip
        done = {name: values[:, 0].astype(layer.param_dtype) for name, values in statistics.items()}
        if self.let_in is None:
            rows = self._dx_evaluate(upstream)
        else:
            rows = self._dx_train(upstream, dgamma, dbeta, self.let_in.astype(layer.work))
        done["x"] = _canonical(rows, self.x)
        return {name: done[name] for name in wrt}

    def _dgamma(self, dy: Array) -> Array:
        total, order = self.layer.total, self.layer.orders.backward
        if order == "projection":
            return total(dy * (self.rows - self.mean)) * self.inverse
        if order == "uncentred":
            return (total(dy * self.rows) - self.mean * total(dy)) * self.inverse
        return total(dy * self.xhat)

    def _dx_evaluate(self, dy: Array) -> Array:
        gamma = self.layer.gamma
        if self.layer.orders.backward == "autodiff":
            return (dy * gamma) * self.inverse
        if self.layer.orders.normalise == "divided":
            return dy * gamma / self.scale
        return dy * (gamma * self.inverse)

    def _dx_train(self, dy: Array, dgamma: Array, dbeta: Array, weights: Array) -> Array:
        gamma, inverse, order, total = self.layer.gamma, self.inverse, self.layer.orders.backward, self.layer.total
        n = self.layer.work(weights.sum())
        deviation = self.rows - self.mean
        if order == "sums":
            return (gamma * inverse / n) * (n * dy - weights * dbeta - weights * self.xhat * dgamma)
        if order == "projection":
            return (dy - weights * (dbeta / n) - weights * deviation * (dgamma * inverse / n)) * inverse * gamma
        if order == "autodiff":
            by_xhat = dy * gamma
            by_var = total(by_xhat * deviation) * self.layer.work(-0.5) * (inverse * inverse * inverse)
            by_mean = -total(by_xhat * inverse) + by_var * (-2 * total(weights * deviation) / n)
            return by_xhat * inverse + weights * (by_var * 2 * deviation / n + by_mean / n)
        return gamma * inverse * (dy - weights * (dbeta / n) - weights * self.xhat * (dgamma / n))


def _canonical(rows: Array, like: Array) -> Array:
    shape = like.shape
    return np.moveaxis(rows.reshape(shape[1], shape[0], *shape[2:]), 0, 1).astype(like.dtype)
