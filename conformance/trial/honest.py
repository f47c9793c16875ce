"""Honest implementations: what good kernels do, in any stable order of operations. None may be accused."""

# NumPy types operations on arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import ml_dtypes
import numpy as np

from conformance.adapters.contract import Adapter, Array, Implementation, LayerConfig
from conformance.adapters.contract import State as ContractState
from conformance.definition.dialect import Dialect
from conformance.trial.sums import SUMS, VARIANCES, Sum

__all__ = ["HonestAdapter", "Orders"]

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
        """Declare the paper's choices, a leaf for the statistics and a differentiable update."""
        return Dialect(statistics_gradient="leaf", update_gradient="differentiable")

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

    def forward(self, x: Array, mode: str) -> _Forward:
        rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1).astype(self.work)
        if mode == "evaluate":
            return _Forward(self, x, rows, mode, self.running_mean, self.running_var)
        mean, var = VARIANCES[self.orders.variance](rows, self.total)
        forward = _Forward(self, x, rows, mode, mean, var)
        self._update(mean, var * self.factor(rows.shape[1]))
        return forward

    def get_state(self) -> Mapping[str, Array]:
        names = ("running_mean", "running_var")
        return {name: getattr(self, name)[:, 0].astype(self.param_dtype) for name in names}

    def set_state(self, state: ContractState) -> None:
        for name in ("running_mean", "running_var"):
            setattr(self, name, state[name].astype(self.work).reshape(-1, 1))

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        first = self.forward(earlier, "train")
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
    def __init__(self, layer: _Layer, x: Array, rows: Array, mode: str, mean: Array, var: Array) -> None:
        self.layer, self.x, self.rows, self.mode, self.mean = layer, x, rows, mode, mean
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
        rows = self._dx_train(upstream, dgamma, dbeta) if self.mode == "train" else self._dx_evaluate(upstream)
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

    def _dx_train(self, dy: Array, dgamma: Array, dbeta: Array) -> Array:
        gamma, inverse, order, total = self.layer.gamma, self.inverse, self.layer.orders.backward, self.layer.total
        n = self.layer.work(dy.shape[1])
        deviation = self.rows - self.mean
        if order == "sums":
            return (gamma * inverse / n) * (n * dy - dbeta - self.xhat * dgamma)
        if order == "projection":
            return (dy - dbeta / n - deviation * (dgamma * inverse / n)) * inverse * gamma
        if order == "autodiff":
            by_xhat = dy * gamma
            by_var = total(by_xhat * deviation) * self.layer.work(-0.5) * (inverse * inverse * inverse)
            by_mean = -total(by_xhat * inverse) + by_var * (-2 * total(deviation) / n)
            return by_xhat * inverse + by_var * 2 * deviation / n + by_mean / n
        return gamma * inverse * (dy - dbeta / n - self.xhat * (dgamma / n))


def _canonical(rows: Array, like: Array) -> Array:
    shape = like.shape
    return np.moveaxis(rows.reshape(shape[1], shape[0], *shape[2:]), 0, 1).astype(like.dtype)
