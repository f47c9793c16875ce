"""One call of the formulas, and its backward: what it looks at, and in which precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from conformance.adapters.contract import Array
from conformance.definition import batch_norm, gradients, running_state
from conformance.definition.batch_norm import by_channel, canonical

if TYPE_CHECKING:
    from conformance.adapters.shared.numpy_layer import Layer

__all__ = ["Forward"]


@dataclass
class Forward:
    """A call, with the batch that it moved the state by, and the dtype of its input."""

    layer: Layer
    batch: running_state.Batch
    call: batch_norm.Forward
    dtype: Any
    backwards: int = 0

    @property
    def y(self) -> Array:
        """Return the output in the dtype of the input."""
        return canonical(self.call.y, self.call.shape).astype(self.dtype)

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        """Return the gradients of ``sum(y * dy)`` by name."""
        rules = self.layer.rules
        if rules.updates == "with backward" and self.call.mode == "train" and not self.backwards:
            self.layer.move(self.batch)
        if rules.updates == "with each backward" and self.call.mode == "train":
            self.layer.move(self.batch)
        self.backwards += 1
        times = self.backwards if rules.repeated == "accumulates" else 1
        upstream = by_channel(dy.astype(self.layer.work))
        call = self._seen_by_backward()
        done = gradients.gradients(call, upstream, rules)
        if rules.gradient_terms == "input precision" and call.mode == "train":
            done["x"] = self._rounded_terms(call, upstream)
        if rules.dbeta == "input precision":
            done["beta"] = done["beta"].astype(self.dtype).astype(self.layer.work)
        return {name: self._one(name, call, done, upstream, times) for name in wrt}

    def _rounded_terms(self, call: batch_norm.Forward, dy: Array) -> Array:
        """Return the gradient of the input as a sum of terms that are each rounded to its dtype."""

        def without(kind: Any) -> Array:
            return gradients.gradients(call, dy, replace(self.layer.rules, train_gradient=kind))["x"]

        direct = without("detached")
        terms = direct, without("variance detached") - direct, without("mean detached") - direct
        first, second, third = (term.astype(self.dtype).astype(self.layer.work) for term in terms)
        total: Array = first + second + third
        return total

    def _seen_by_backward(self) -> batch_norm.Forward:
        """Return the forward, or what a backward takes for it that looks at the wrong statistics."""
        rules, call, latest, state = self.layer.rules, self.call, self.layer.latest, self.layer.used
        if rules.backward_of == "latest forward" and latest is not None:
            changes = {name: getattr(latest, name) for name in ("mode", "mean", "var", "inverse", "slope")}
        elif rules.backward_of == "current state" and call.mode == "evaluate":
            inverse, slope = batch_norm.inverse_scale(call.mode, state.var, call.parameters.epsilon, rules)
            changes = {"mean": state.mean, "var": state.var, "inverse": inverse, "slope": slope}
        elif rules.batch_statistics == "input's precision in the backward" and call.mode == "train":
            return self.layer.rounded(call, self.dtype)
        else:
            return call
        seen = replace(call, **changes)
        return replace(seen, xhat=(seen.x - seen.mean) * seen.inverse)

    def _one(
        self, name: str, call: batch_norm.Forward, done: Mapping[str, Array], dy: Array, times: int
    ) -> Array:
        if name == "x":
            return canonical(times * done["x"], call.shape).astype(self.dtype)
        if name in ("gamma", "beta"):
            return (times * done[name][:, 0]).astype(self.layer.param_dtype)
        option = self.layer.rules.dialect.statistics_gradient
        if option == "refused":
            raise ValueError(f"{name} is not differentiable")
        gradient = gradients.statistics_gradients(call, dy, self.layer.rules)[name][:, 0]
        leaf = option != "constant" and self.call.mode == "evaluate"
        return (times * gradient if leaf else 0 * gradient).astype(self.layer.param_dtype)
