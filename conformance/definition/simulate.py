"""The oracle: runs a case step by step under given rules and predicts every quantity with its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from conformance.corpus.case import Case, Step
from conformance.definition import higher_order
from conformance.definition.batch_norm import (
    Array,
    Forward,
    Parameters,
    State,
    by_channel,
    canonical,
    column,
    forward,
    inverse_scale,
    statistics,
)
from conformance.definition.bounds import (
    ForwardErrors,
    Precision,
    StateErrors,
    forward_errors,
    gradient_errors,
    precision_of,
    update_errors,
)  # fmt: skip
from conformance.definition.constants import kept_constants
from conformance.definition.gradients import gradients, statistics_gradients, update_gradient
from conformance.definition.prediction import Expected, Key, Predicted, Prediction, Refused, Same, Undetermined
from conformance.definition.rules import Rules
from conformance.definition.running_state import (
    Batch,
    debias_roundings,
    effective_mode,
    kept_mean,
    kept_variance,
    left_of_start,
    moves,
    shared,
    update,
    update_weight,
    variance_factor,
)  # fmt: skip

__all__ = ["simulate"]


def simulate(case: Case, arrays: Mapping[str, Array], rules: Rules) -> Prediction:
    """Predict all quantities of ``case`` on the inputs of ``corpus.inputs.generate``, under ``rules``.

    Computed in float64 for cases up to float32, in long double for float64 cases; the bounds
    include the oracle's own rounding.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
        simulation = _Simulation(case, arrays, rules)
        for number, step in enumerate(case.program, start=1):
            simulation.take(number, step)
        return simulation.prediction


@dataclass(frozen=True)
class _Call:
    """A forward with its error bounds, kept for its backward; the first call of a case is number 1."""

    forward: Forward
    errors: ForwardErrors
    number: int


class _Simulation:
    def __init__(self, case: Case, arrays: Mapping[str, Array], rules: Rules) -> None:
        layer = kept_constants(case.layer, rules.dialect)
        self.case, self.layer, self.arrays, self.rules = case, layer, arrays, rules
        self.wide: Any = np.longdouble if "float64" in (layer.dtype, layer.param_dtype) else np.float64
        self.precision = _precision(case, rules, self.wide)
        own_variance = 0 if rules.own_variance == "zero" else 1
        per_channel = {
            name: column(arrays.get(name), layer.channels, self.wide, default)
            for name, default in (("gamma", 1), ("beta", 0), ("running_mean", 0), ("running_var", own_variance))
        }
        self.parameters = Parameters(per_channel["gamma"], per_channel["beta"], layer.epsilon)
        self.state = self._kept(State(per_channel["running_mean"], per_channel["running_var"]))
        exact = np.zeros((2, layer.channels, 1))
        self.errors = StateErrors(exact, exact)
        self.frozen = False
        #: The undeclared choice on which everything from now on depends.
        self.undetermined: str | None = None
        self.calls: dict[str, _Call] = {}
        self.numbers: dict[str, int] = {}
        self.latest: _Call | None = None
        self.called = 0
        self.backwards: dict[int, int] = {}
        self.prediction: dict[Key, Predicted] = {}

    def take(self, number: int, step: Step) -> None:
        """Do one step and predict what is read after it."""
        if step.rejected or (step.evaluate is not None and self._refuses_evaluate()):
            self.prediction[number, "outcome"] = Refused()
        elif step.freeze is not None:
            self.frozen = step.freeze
        elif step.reload:
            self._reload()
        elif step.through_update is not None:
            self._through_update(number, step)
        elif step.backward is not None:
            self._backward(number, step, self.calls[step.backward])
        elif step.differentiates:
            self._differentiate(number, step)
        else:
            self._call(number, step)
        self._read_state(number, step)

    def _call(self, number: int, step: Step) -> None:
        """Do a forward, and its backward where gradients are asked for in the same step."""
        call = self._forward(step, step.mode or "train", with_backward=False)
        if step.name is not None:
            self.calls[step.name] = call
            self.numbers[step.name] = number
        if step.recompute:
            self._recompute(call)
        if "y" in step.observe:
            self._expect_rows(number, "y", call.forward.y, call.errors.y, call.forward.shape)
        if step.same_as is not None:
            self._expect_same(number, step, call)
        if step.gradients:
            self._backward(number, step, call)

    def _differentiate(self, number: int, step: Step) -> None:
        """Predict higher derivatives of a call; the state stays, since nothing says what becomes of it."""
        mode, _ = self._effective(step.mode or "train")
        rows = {
            name: by_channel(array.astype(self.wide)) if array.ndim > 1 else array.astype(self.wide).reshape(-1, 1)
            for name in ("dy", "v_x", "v_dy", "v_gamma")
            for array in [self.arrays[f"{name}:{number}"]]
        }
        x = self.arrays[f"x:{step.labels[0]}"]
        point = higher_order.Point(
            mode, x.shape, by_channel(x.astype(self.wide)), rows["dy"], self.parameters, self.state, self.layer.momentum
        )
        question = higher_order.Question(
            second=step.hvp, third=step.third, forward=step.jvp, x=rows["v_x"], gamma=rows["v_gamma"], dy=rows["v_dy"]
        )
        bounds = higher_order.error_bounds(
            point, question, self.rules, self.precision, (self.errors.mean, self.errors.var)
        )
        for name, value in higher_order.derivatives(point, question, self.rules).items():
            if name == "hvp_gamma":
                self._expect_columns(number, name, value, bounds[name])
            else:
                self._expect_rows(number, name, value, bounds[name], x.shape)

    def _reload(self) -> None:
        """Save and load: the state stays, whatever it was."""
        if self.rules.reload == "lost":
            self.state = State(np.zeros_like(self.state.mean), np.ones_like(self.state.var))

    def _recompute(self, call: _Call) -> None:
        """Do the forward once more, as checkpointing does in the backward."""
        option = self.rules.dialect.recomputation
        if option == "undeclared":
            self.undetermined = "recomputation"
        elif option == "again":
            self._move(self._batch(call.forward), call)

    def _refuses_evaluate(self) -> bool:
        return not self.layer.tracked and self.rules.dialect.untracked == "refused"

    def _effective(self, mode: str) -> tuple[str, bool]:
        """Return the mode whose formulas hold, and whether the state may move, for this layer as it is."""
        dialect = self.rules.dialect
        if mode == "evaluate" and not self.layer.tracked and dialect.untracked == "undeclared":
            self.undetermined = "untracked"
        if mode == "train" and self.frozen and dialect.frozen == "undeclared":
            self.undetermined = "frozen"
        return effective_mode(mode, dialect, tracked=self.layer.tracked, frozen=self.frozen)

    def _expect_same(self, number: int, step: Step, call: _Call) -> None:
        """Expect the output of an earlier step again, where the definition makes the two the same."""
        earlier = self.calls[step.same_as or ""]
        if np.array_equal(earlier.forward.y, call.forward.y, equal_nan=True):
            self.prediction[number, "same"] = Same((self.numbers[step.same_as or ""], "y"))

    def _forward(self, step: Step, asked: str, *, with_backward: bool) -> _Call:
        mode, may_move = self._effective(asked)
        # Replicas with synchronised statistics are one batch, cut into pieces.
        x = np.concatenate([self.arrays[f"x:{label}"] for label in step.labels])
        mask = self.arrays.get(f"mask:{step.labels[0]}") if step.masked else None
        weights = None if mask is None else mask.reshape(1, -1).astype(self.wide)
        rows = by_channel(x.astype(self.wide))
        mean, var = statistics(rows, x.shape, self.rules, weights)
        counted = rows.shape[1] if weights is None or self.rules.mask == "ignored" else int(weights.sum())
        batch = Batch(mean, var, counted, x.shape[0], self.layer.epsilon)
        before, before_errors = self.state, self.errors
        moved = self.state
        times = moves(mode, self.rules, with_backward=with_backward) if may_move else 0
        would_be = mode == "evaluate" and self.rules.evaluate_uses == "updated"
        for _ in range(times or would_be):
            moved = update(moved, batch, self.layer.momentum, self.rules)
        done = forward(rows, mode, x.shape, self.parameters, before, moved, self.rules, weights)
        done = shared(done, before, batch, self.layer.momentum, self.rules)
        self.called += 1
        errors = forward_errors(done, before_errors, self.precision, self.rules)
        if would_be:
            errors = forward_errors(done, self._moved_errors(batch, errors.batch), self.precision, self.rules)
        call = _Call(done, errors, self.called)
        for _ in range(times):
            self._move(batch, call)
        self.latest = call
        return call

    def _batch(self, call: Forward) -> Batch:
        return Batch(call.batch_mean, call.batch_var, call.count, call.shape[0], self.layer.epsilon)

    def _move(self, batch: Batch, call: _Call) -> None:
        """Update the state with one batch, its errors along with it, rounded to how it is kept."""
        errors = self._moved_errors(batch, call.errors.batch)
        moved = self._kept(update(self.state, batch, self.layer.momentum, self.rules))
        kept_in = self._state_dtype()
        self.errors = StateErrors(
            errors.mean + self._storing(moved.mean, kept_in), errors.var + self._storing(moved.var, kept_in)
        )
        self.state = moved

    def _moved_errors(self, batch: Batch, of_batch: StateErrors) -> StateErrors:
        """Bound the errors of the state that an update with this batch makes."""
        weight = update_weight(self.state.updates + 1, self.layer.momentum, self.rules)
        factor = variance_factor(batch, self.rules, self.wide)
        kept = State(kept_mean(batch, self.rules), kept_variance(batch, self.rules))
        settling = debias_roundings(self.state.updates + 1, self.layer.momentum, self.rules)
        errors = update_errors(self.state, self.errors, kept, of_batch, float(weight), float(factor),
                               self.precision, settling)  # fmt: skip
        left = left_of_start(self.state.updates + 1, self.layer.momentum, self.rules)
        return replace(errors, var=errors.var + left * (settling + 4) * self.precision.unit)

    def _kept(self, state: State) -> State:
        """Return the state rounded to how it is kept."""
        kept_in = self._state_dtype()
        if kept_in == self.layer.param_dtype:
            return state
        return replace(state, mean=_rounded(state.mean, kept_in), var=_rounded(state.var, kept_in))

    def _backward(self, number: int, step: Step, call: _Call) -> None:
        times = self._times_done(call)
        if moves(call.forward.mode, self.rules, with_backward=True) > moves(
            call.forward.mode, self.rules, with_backward=False
        ) and self.backwards[call.number] == 1:
            self._move(self._batch(call.forward), call)
        call = self._seen_by_backward(call)
        dy = by_channel(self.arrays[f"dy:{number}"].astype(self.wide))
        done = gradients(call.forward, dy, self.rules)
        bounds = gradient_errors(call.forward, call.errors, dy, self.precision, self.rules)
        done |= statistics_gradients(call.forward, dy, self.rules)
        for wanted in step.gradients:
            if wanted.startswith("running"):
                self._expect_statistics_gradient(number, wanted, call, done[wanted] * times, bounds[wanted])
            elif wanted == "x":
                self._expect_rows(number, "dx", done["x"] * times, bounds["x"], call.forward.shape)
            else:
                self._expect_columns(number, f"d{wanted}", done[wanted] * times, bounds[wanted])

    def _seen_by_backward(self, call: _Call) -> _Call:
        """Return the forward as a backward sees it that looks at the wrong statistics."""
        seen = call.forward
        if self.rules.backward_of == "latest forward" and self.latest is not None:
            latest = self.latest.forward
            changes = {name: getattr(latest, name) for name in ("mode", "mean", "var", "inverse", "slope")}
        elif self.rules.backward_of == "current state" and seen.mode == "evaluate":
            inverse, slope = inverse_scale(seen.mode, self.state.var, self.layer.epsilon, self.rules)
            changes = {"mean": self.state.mean, "var": self.state.var, "inverse": inverse, "slope": slope}
        else:
            return call
        seen = replace(seen, **changes)
        seen = replace(seen, xhat=(seen.x - seen.mean) * seen.inverse)
        return _Call(seen, forward_errors(seen, self.errors, self.precision, self.rules), call.number)

    def _times_done(self, call: _Call) -> int:
        done = self.backwards[call.number] = self.backwards.get(call.number, 0) + 1
        return done if self.rules.repeated == "accumulates" else 1

    def _expect_statistics_gradient(self, number: int, name: str, call: _Call, value: Array, bound: Array) -> None:
        option = self.rules.dialect.statistics_gradient
        if option == "undeclared":
            self.prediction[number, f"d{name}"] = Undetermined("statistics_gradient")
        elif option == "refused":
            self.prediction[number, "outcome"] = Refused()
        else:
            leaf = option == "leaf" and call.forward.mode == "evaluate"
            zero = np.zeros_like(value), np.zeros_like(bound)
            self._expect_columns(number, f"d{name}", *((value, bound) if leaf else zero))

    def _through_update(self, number: int, step: Step) -> None:
        first, second = step.labels
        updates = self.state.updates + 1
        earlier = self._forward(Step(train=first), "train", with_backward=True)
        later = self._forward(Step(evaluate=second), "evaluate", with_backward=True)
        option = self.rules.dialect.update_gradient
        if option == "undeclared":
            self.prediction[number, "dx_earlier"] = Undetermined("update_gradient")
            return
        weight = self.wide(update_weight(updates, self.layer.momentum, self.rules))
        call = earlier.forward
        factor = variance_factor(self._batch(call), self.rules, self.wide)
        dy = by_channel(self.arrays[f"dy:{number}"].astype(self.wide))
        by_state = statistics_gradients(later.forward, dy, self.rules)
        bounds = gradient_errors(later.forward, later.errors, dy, self.precision, self.rules)
        value = update_gradient(call, by_state, weight, factor)
        bound = _update_gradient_error(earlier, by_state, bounds, float(weight), float(factor), self.precision)
        if option == "detached":
            value, bound = np.zeros_like(value), np.zeros_like(bound)
        self._expect_rows(number, "dx_earlier", value, bound, call.shape)

    def _read_state(self, number: int, step: Step) -> None:
        for name, value, error in (
            ("running_mean", self.state.mean, self.errors.mean),
            ("running_var", self.state.var, self.errors.var),
        ):
            if name in step.observe and self.layer.tracked:
                self._set(number, name, value[:, 0], error[:, :, 0], self._state_dtype(), storing=False)

    def _state_dtype(self) -> str:
        """Return the dtype in which the state is seen: the layer's, unless a rule makes it narrower."""
        narrower = [self.layer.param_dtype]
        if self.rules.state_kept_in != "own":
            narrower.append(self.rules.state_kept_in)
        if self.rules.state_starts_in != "own" and self.case.state == "own":
            narrower.append(self.rules.state_starts_in)
        return max(narrower, key=lambda dtype: float(ml_dtypes.finfo(dtype).eps))

    def _expect_rows(self, number: int, name: str, value: Array, bound: Array, shape: tuple[int, ...]) -> None:
        bounds = np.stack([canonical(one, shape) for one in np.broadcast_to(bound, (2, *value.shape))])
        self._set(number, name, canonical(value, shape), bounds, self.layer.dtype)

    def _expect_columns(self, number: int, name: str, value: Array, bound: Array) -> None:
        self._set(number, name, value[:, 0], bound[:, :, 0], self.layer.param_dtype)

    def _set(self, number: int, name: str, value: Array, bound: Array, dtype: str, *, storing: bool = True) -> None:
        if self.undetermined is not None:
            self.prediction[number, name] = Undetermined(self.undetermined)
            return
        bound = bound.astype(np.float64)
        if storing:
            bound = np.where(bound > 0, bound + self._storing(value, dtype), 0)
        value = _overflowed(value, dtype)
        # What is not finite is expected as it is; a finite value beside it keeps its own bound.
        bound = np.where(np.isfinite(value), bound, 0)
        self.prediction[number, name] = Expected(value=value, tight=bound[0], plain=bound[1], dtype=dtype)

    def _storing(self, value: Array, dtype: str) -> Array | float:
        """Return the rounding of storing in ``dtype``, where that is less precise than computing."""
        info = ml_dtypes.finfo(dtype)
        unit = float(info.eps) / 2
        if unit <= self.precision.unit:
            return 0.0
        return np.abs(value).astype(np.float64) * unit + float(info.smallest_subnormal) / 2


def _precision(case: Case, rules: Rules, wide: Any) -> Precision:
    """Return the working precision: float32 for inputs of 16 bits, else that of the case."""
    computed_in = rules.computed_in if rules.computed_in != "own" else case.dtype
    if rules.state_starts_in != "own" and case.state == "own":
        computed_in = rules.state_starts_in
    if rules.computed_in == "own" and computed_in in ("float16", "bfloat16"):
        computed_in = "float32"
    precision = precision_of(computed_in).with_rounding_of(precision_of(wide))
    return replace(precision, stored=max(0.0, float(ml_dtypes.finfo(case.dtype).eps) / 2))


def _overflowed(value: Array, dtype: str) -> Array:
    """Return the value with what is beyond the range of the dtype as infinity, as storing has it."""
    info = ml_dtypes.finfo(dtype)
    with np.errstate(invalid="ignore"):
        beyond = np.abs(value) >= float(info.max) * (1 + float(info.eps) / 4)
    return np.where(beyond, np.copysign(np.inf, value), value) if beyond.any() else value


def _rounded(value: Array, dtype: str) -> Array:
    narrow: Any = np.dtype(getattr(ml_dtypes, dtype, dtype))
    return value.astype(narrow).astype(value.dtype)


def _update_gradient_error(
    earlier: _Call, by_state: Mapping[str, Array], bounds: Mapping[str, Array], weight: float, factor: float,
    precision: Precision,
) -> Array:  # fmt: skip
    """Bound the error of ``gradients.update_gradient``, ``(2, C, n)``."""
    call, u = earlier.forward, precision.unit
    n = call.x.shape[1]
    deviation = np.abs(call.x - call.batch_mean)
    # Of nearly constant channels the gradient may be off by more than its own size: the products count.
    through_mean = np.abs(by_state["running_mean"]) + bounds["running_mean"]
    through_var = np.abs(by_state["running_var"]) + bounds["running_var"]
    by_mean = weight / n * (bounds["running_mean"] + 6 * u * through_mean)
    centring = earlier.errors.batch.mean + 8 * u * deviation
    by_var = 2 * weight * factor / n * (deviation * bounds["running_var"] + through_var * centring)
    # Differentiating avg(x^2) - mean^2 subtracts x and mean only after the multiplication.
    uncentred = np.array([0.0, 1.0]).reshape(2, 1, 1) * 8 * u * through_var * (np.abs(call.x) + np.abs(call.batch_mean))
    total: Array = by_mean + by_var + 2 * weight * factor / n * uncentred + precision.floor
    return total
