"""The oracle: runs a case step by step under given rules and predicts every quantity with its bounds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.corpus.case import Case, Step
from conformance.corpus.shape import parse_shape
from conformance.definition import higher_order
from conformance.definition.batch_norm import (
    Array,
    Forward,
    Parameters,
    State,
    by_channel,
    column,
    forward,
    inverse_scale,
    statistics,
)
from conformance.definition.blocks import blocks, cut, joined, may_be_cut
from conformance.definition.bounds import (
    ForwardErrors,
    StateErrors,
    folded_errors,
    forward_errors,
    gradient_errors,
    saved_errors,
    update_gradient_error,
)  # fmt: skip
from conformance.definition.constants import exported_epsilon, kept_constants
from conformance.definition.convergence import evaluated
from conformance.definition.gradients import gradients, statistics_gradients, update_gradient
from conformance.definition.linear import Linear, folded
from conformance.definition.network import simulate_network
from conformance.definition.precision import HALVES, unit_of, working_precision
from conformance.definition.prediction import Prediction
from conformance.definition.rules import Rules
from conformance.definition.running_state import Batch, effective_mode, moves, shared
from conformance.definition.saved import saved
from conformance.definition.storing import storing_error
from conformance.definition.tracked import Tracked
from conformance.definition.writer import Writer

__all__ = ["simulate"]


def simulate(case: Case, arrays: Mapping[str, Array], rules: Rules, *, until: int | None = None) -> Prediction:
    """Predict all quantities of ``case`` on the inputs of ``corpus.inputs.generate``, under ``rules``.

    Computed in float64 for cases up to float32, in long double for float64 cases; the bounds
    include the oracle's own rounding. ``until`` is the last step to predict, from 1; what comes after
    a step changes nothing of it.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
        if case.network is not None:
            return simulate_network(case, arrays, rules)
        parts = blocks(parse_shape(case.shape))
        if len(parts) > 1 and may_be_cut(case, arrays, rules):
            return joined([_steps(*cut(case, arrays, channels), rules, until) for channels in parts])
        return _steps(case, arrays, rules, until)


def _steps(case: Case, arrays: Mapping[str, Array], rules: Rules, until: int | None) -> Prediction:
    simulation = _Simulation(case, arrays, rules)
    for number, step in enumerate(case.program[:until], start=1):
        simulation.take(number, step)
    return simulation.written.prediction


@dataclass(frozen=True)
class _Call:
    """A forward with its error bounds, kept for its backward; the first call of a case is number 1."""

    forward: Forward
    errors: ForwardErrors
    number: int


class _Simulation:
    """A layer on its way through the steps of a case; ``written`` holds what is predicted so far."""

    def __init__(self, case: Case, arrays: Mapping[str, Array], rules: Rules) -> None:
        self.layer, self.arrays, self.rules = kept_constants(case.layer, rules.dialect), arrays, rules
        self.given_epsilon = case.epsilon
        layer = self.layer
        self.wide: Any = np.longdouble if "float64" in (layer.dtype, layer.param_dtype) else np.float64
        self.precision = working_precision(case, rules, self.wide)
        own_variance = 0 if rules.own_variance == "zero" else 1
        per_channel = {
            name: column(arrays.get(name), layer.channels, self.wide, default)
            for name, default in (("gamma", 1), ("beta", 0), ("running_mean", 0), ("running_var", own_variance))
        }
        self.parameters = Parameters(per_channel["gamma"], per_channel["beta"], layer.epsilon)
        start = State(per_channel["running_mean"], per_channel["running_var"])
        self.tracked = Tracked(case, layer, start, self.precision, rules)
        self.written = Writer(layer, self.precision, unclipped=rules.variance_algorithm == "one-pass unclipped")
        self.frozen = False
        self.saved: dict[str, tuple[State, StateErrors]] = {}
        self.calls: dict[str, _Call] = {}
        self.numbers: dict[str, int] = {}
        self.latest: _Call | None = None
        self.called = 0
        self.backwards: dict[int, int] = {}

    def take(self, number: int, step: Step) -> None:
        """Do one step and predict what is read after it."""
        if self._is_refused(step):
            self.written.refused(number)
        elif step.freeze is not None:
            self.frozen = step.freeze
        elif step.reload:
            self.tracked.reload()
        elif step.save is not None:
            self.saved[step.save] = self.tracked.seen()
        elif step.moves_state:
            self.tracked.put_back([self.saved[name] for name in step.average or (step.restore or "",)])
        elif step.converge is not None:
            self._converge(number, step, step.converge)
        elif step.through_update is not None:
            self._through_update(number, step)
        elif step.backward is not None:
            self._backward(number, step, self.calls[step.backward])
        elif step.differentiates or step.deployed:
            self._ask_otherwise(number, step)
        else:
            self._call(number, step)
        self._read_state(number, step)

    def _ask_otherwise(self, number: int, step: Step) -> None:
        """Predict what is asked of a call in place of its output and gradients."""
        if step.differentiates:
            self._differentiate(number, step)
        elif step.folded is not None:
            self._fold(number, step)
        else:
            self._export(number, step)

    def _call(self, number: int, step: Step) -> None:
        """Do a forward, and its backward where gradients are asked for in the same step."""
        call = self._forward(step, step.mode or "train", with_backward=False)
        if step.name is not None:
            self.calls[step.name] = call
            self.numbers[step.name] = number
        if step.recompute:
            self._recompute(call)
        if "y" in step.observe:
            self.written.rows(number, "y", call.forward.y, call.errors.y, call.forward.shape)
        if step.same_as is not None:
            self._expect_same(number, step.same_as, call)
        self._expect_distances(number, step, call)
        if step.gradients:
            self._backward(number, step, call)

    def _fold(self, number: int, step: Step) -> None:
        """Predict the output of the linear layer before the batch norm with that folded into it."""
        kernel, bias = self.arrays[f"kernel:{number}"], self.arrays.get(f"bias:{number}")
        linear = Linear(kernel.astype(self.wide), None if bias is None else bias.astype(self.wide))
        x, state = self.arrays[f"x:{step.labels[0]}"].astype(self.wide), self.tracked.state
        shape = (len(x), self.layer.channels, *x.shape[2:])
        y = by_channel(folded(linear, self.parameters, state, x, self.given_epsilon, self.rules)(x))
        exact = forward(by_channel(linear(x)), "evaluate", shape, self.parameters, state, state, self.rules)
        added = column(linear.bias, self.layer.channels, self.wide, 0)
        errors = folded_errors(
            exact, by_channel(linear.sizes(x)), added, linear.terms, self.tracked.errors, self.precision, self.rules
        )
        self.written.rows(number, "y", y, errors, shape)

    def _export(self, number: int, step: Step) -> None:
        """Predict the output of the model that the layer is exported to."""
        mode, option = step.mode, self.rules.dialect.exported
        if mode == "train" and option == "undeclared":
            self.written.unknown(number, "y", "exported")
            return
        batch = option == "batch" if mode == "train" else self.rules.exported_statistics == "batch"
        model = copy.copy(self)
        model.tracked = copy.copy(self.tracked)
        model.parameters = replace(self.parameters, epsilon=exported_epsilon(self.layer.epsilon, self.rules))
        call = model._forward(step, "train" if batch else "evaluate", with_backward=False)  # noqa: SLF001  (its own kind)
        self.written.rows(number, "y", call.forward.y, call.errors.y, call.forward.shape)
        if mode == "train" and self.rules.exporting == "moves the state":
            self._forward(step, "train", with_backward=False)

    def _expect_distances(self, number: int, step: Step, call: _Call) -> None:
        """Expect how far the output is from an earlier one, and from a target."""
        y, error = call.forward.y[None], call.errors.y[:, None]
        if step.against is not None:
            earlier = self.calls[step.against]
            self.written.distance(number, "mse", y, earlier.forward.y[None], error + earlier.errors.y[:, None])
        if step.target is not None:
            target = by_channel(self.arrays[f"x:{step.target}"].astype(self.wide))
            self.written.distance(number, "loss", y, target[None], error)

    def _converge(self, number: int, step: Step, label: str) -> None:
        """Expect how far evaluating is from the first training output, before it and after each ``every``-th.

        The batch is the same in every call, and so are its statistics: the states alone are gone through one by one.
        """
        seen = [self.tracked.seen()]
        if self._moves("evaluate"):
            self._forward(Step(evaluate=label), "evaluate", with_backward=False)
        trained = self._forward(Step(train=label), "train", with_backward=False)
        for k in range(1, step.times + 1):
            if k % step.every == 0:
                seen.append(self.tracked.seen())
            for _ in range(self._moves("evaluate") if k % step.every == 0 else 0):
                self._move(trained)
            for _ in range(self._moves("train") if k < step.times else 0):
                self._move(trained)
        mode, _ = self._effective("evaluate")
        call, momentum = trained.forward, self.layer.momentum
        y, error = evaluated(call.x, call.shape, self.parameters, seen, mode, momentum, self.precision, self.rules)
        self.written.distance(number, "mse", y, call.y[None], error + trained.errors.y[:, None])

    def _moves(self, asked: str) -> int:
        """Return how often a forward moves the state, with the layer as it is."""
        mode, may_move = self._effective(asked)
        return moves(mode, self.rules, with_backward=False) if may_move else 0

    def _forward(self, step: Step, asked: str, *, with_backward: bool) -> _Call:
        mode, may_move = self._effective(asked)
        # Replicas with synchronised statistics are one batch, cut into pieces.
        parts = [self.arrays[f"x:{label}"] for label in step.labels]
        x = (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(self.wide)
        self.written.poisoned |= bool(np.count_nonzero(np.isfinite(x)) < x.size)
        mask = self.arrays.get(f"mask:{step.labels[0]}") if step.masked else None
        weights = None if mask is None else mask.reshape(1, -1).astype(self.wide)
        rows = by_channel(x)
        counted = rows.shape[1] if weights is None or self.rules.mask == "ignored" else int(weights.sum())
        before, before_errors = self.tracked.state, self.tracked.errors
        times = moves(mode, self.rules, with_backward=with_backward) if may_move else 0
        would_be = mode == "evaluate" and self.rules.evaluate_uses == "updated"
        moved = before
        if would_be or (mode == "train" and self.rules.train_statistics == "updated"):
            batch = Batch(*statistics(rows, x.shape, self.rules, weights), counted, x.shape[0], self.layer.epsilon)
            moved = self.tracked.after(batch, times or would_be)
        done = forward(rows, mode, x.shape, self.parameters, before, moved, self.rules, weights)
        batch = Batch(done.batch_mean, done.batch_var, counted, x.shape[0], self.layer.epsilon)
        done = shared(done, before, batch, self.layer.momentum, self.rules)
        errors = forward_errors(done, before_errors, self.precision, self.rules)
        if would_be or (mode == "train" and times and self.rules.train_statistics == "updated"):
            # Whether the updated statistics are used before or after they are stored is nobody's choice.
            would_err = self.tracked.once_stored(moved, self.tracked.errors_after(batch, errors.batch))
            errors = forward_errors(done, would_err, self.precision, self.rules)
        self.called += 1
        if mode == "train" and self.rules.batch_statistics == "parameters' precision":
            coarse = unit_of(self.layer.param_dtype)
            done, errors = self._saved(done, errors, self.layer.param_dtype, coarse)
        self.latest = call = _Call(done, errors, self.called)
        for _ in range(times):
            self.tracked.move(batch, errors.batch)
        return call

    def _saved(
        self, call: Forward, errors: ForwardErrors, dtype: str, variance_unit: float = 0.0
    ) -> tuple[Forward, ForwardErrors]:
        """Return the forward with the statistics of its batch rounded, where that is coarser than computing."""
        if unit_of(dtype) <= self.precision.unit:
            return call, errors
        stored = saved(call, dtype, self.rules)
        return stored, saved_errors(stored, call, errors, dtype, self.precision, self.rules, variance_unit)

    def _effective(self, mode: str) -> tuple[str, bool]:
        """Return the mode whose formulas hold, and whether the state may move, for this layer as it is."""
        dialect = self.rules.dialect
        if mode == "evaluate" and not self.layer.tracked and dialect.untracked == "undeclared":
            self.written.undetermined = "untracked"
        if mode == "evaluate" and self._unknown_state() and self.tracked.state.updates:
            self.written.undetermined = "state_dtype"
        if mode == "train" and self.frozen and dialect.frozen == "undeclared":
            self.written.undetermined = "frozen"
        return effective_mode(mode, dialect, tracked=self.layer.tracked, frozen=self.frozen)

    def _recompute(self, call: _Call) -> None:
        """Do the forward once more, as checkpointing does in the backward."""
        option = self.rules.dialect.recomputation
        if option == "undeclared":
            self.written.undetermined = "recomputation"
        elif option == "again":
            self._move(call)

    def _move(self, call: _Call) -> None:
        self.tracked.move(self.tracked.batch(call.forward), call.errors.batch)

    def _is_refused(self, step: Step) -> bool:
        """Tell whether a step raises: a backward does where its forward did."""
        refuses_evaluate = not self.layer.tracked and self.rules.dialect.untracked == "refused"
        if step.backward is not None:
            return step.backward not in self.calls
        refuses_export = step.exported and step.mode == "train" and self.rules.dialect.exported == "refused"
        return step.rejected or refuses_export or (step.evaluate is not None and refuses_evaluate)

    def _expect_same(self, number: int, name: str, call: _Call) -> None:
        """Expect the output of an earlier step again, where the definition makes the two the same."""
        if np.array_equal(self.calls[name].forward.y, call.forward.y, equal_nan=True):
            self.written.same(number, self.numbers[name])

    def _differentiate(self, number: int, step: Step) -> None:
        """Predict higher derivatives of a call; the state stays, since nothing says what becomes of it."""
        mode, _ = self._effective(step.mode or "train")
        rows = {
            name: by_channel(array.astype(self.wide)) if array.ndim > 1 else array.astype(self.wide).reshape(-1, 1)
            for name in ("dy", "v_x", "v_dy", "v_gamma")
            for array in [self.arrays[f"{name}:{number}"]]
        }
        x, state, errors = self.arrays[f"x:{step.labels[0]}"], self.tracked.state, self.tracked.errors
        point = higher_order.Point(
            mode, x.shape, by_channel(x.astype(self.wide)), rows["dy"], self.parameters, state, self.layer.momentum
        )
        question = higher_order.Question(
            second=step.hvp, third=step.third, forward=step.jvp, x=rows["v_x"], gamma=rows["v_gamma"], dy=rows["v_dy"]
        )
        bounds = higher_order.error_bounds(point, question, self.rules, self.precision, (errors.mean, errors.var))
        for name, value in higher_order.derivatives(point, question, self.rules).items():
            if name == "hvp_gamma":
                self.written.columns(number, name, value, bounds[name])
            else:
                self.written.rows(number, name, value, bounds[name], x.shape)

    def _backward(self, number: int, step: Step, call: _Call) -> None:
        times = self._times_done(call)
        if moves(call.forward.mode, self.rules, with_backward=True) > moves(
            call.forward.mode, self.rules, with_backward=False
        ) and self.backwards[call.number] == 1:
            self._move(call)
        if self.rules.updates == "with each backward" and call.forward.mode == "train":
            self._move(call)
        call = self._seen_by_backward(call)
        # Summed before it is multiplied by an infinite 1 / s a gradient is infinite, otherwise NaN.
        self.written.poisoned |= bool(np.isinf(call.forward.inverse).any())
        dy = by_channel(self.arrays[f"dy:{number}"].astype(self.wide))
        done = gradients(call.forward, dy, self.rules, step.gradients)
        bounds = gradient_errors(call.forward, call.errors, dy, self.precision, self.rules, step.gradients)
        if any(wanted.startswith("running") for wanted in step.gradients):
            done |= statistics_gradients(call.forward, dy, self.rules)
        for wanted in step.gradients:
            if wanted.startswith("running"):
                self._expect_statistics_gradient(number, wanted, call, done[wanted] * times, bounds[wanted])
            elif wanted == "x":
                self.written.rows(number, "dx", done["x"] * times, bounds["x"], call.forward.shape)
            else:
                self.written.columns(number, f"d{wanted}", done[wanted] * times, bounds[wanted])

    def _seen_by_backward(self, call: _Call) -> _Call:
        """Return the forward as a backward sees it that looks at the wrong statistics."""
        seen, state = call.forward, self.tracked.state
        if self.rules.backward_of == "latest forward" and self.latest is not None:
            latest = self.latest.forward
            changes = {name: getattr(latest, name) for name in ("mode", "mean", "var", "inverse", "slope")}
        elif self.rules.backward_of == "current state" and seen.mode == "evaluate":
            inverse, slope = inverse_scale(seen.mode, state.var, self.layer.epsilon, self.rules)
            changes = {"mean": state.mean, "var": state.var, "inverse": inverse, "slope": slope}
        elif self.rules.batch_statistics == "input's precision in the backward" and seen.mode == "train":
            return _Call(*self._saved(seen, call.errors, self.layer.dtype), call.number)
        else:
            return call
        seen = replace(seen, **changes)
        seen = replace(seen, xhat=(seen.x - seen.mean) * seen.inverse)
        return _Call(seen, forward_errors(seen, self.tracked.errors, self.precision, self.rules), call.number)

    def _times_done(self, call: _Call) -> int:
        done = self.backwards[call.number] = self.backwards.get(call.number, 0) + 1
        return done if self.rules.repeated == "accumulates" else 1

    def _expect_statistics_gradient(self, number: int, name: str, call: _Call, value: Array, bound: Array) -> None:
        option = self.rules.dialect.statistics_gradient
        if option == "undeclared":
            self.written.unknown(number, f"d{name}", "statistics_gradient")
        elif option == "refused":
            self.written.refused(number)
        else:
            leaf = option == "leaf" and call.forward.mode == "evaluate"
            zero = np.zeros_like(value), np.zeros_like(bound)
            self.written.columns(number, f"d{name}", *((value, bound) if leaf else zero))

    def _through_update(self, number: int, step: Step) -> None:
        first, second = step.labels
        weight, updates = self.wide(self.tracked.weight()), self.tracked.state.updates
        earlier = self._forward(Step(train=first), "train", with_backward=True)
        moved = self.tracked.state.updates > updates
        later = self._forward(Step(evaluate=second), "evaluate", with_backward=True)
        option = self.rules.dialect.update_gradient
        if option == "undeclared":
            self.written.unknown(number, "dx_earlier", "update_gradient")
            return
        call = earlier.forward
        factor = self.tracked.factor(self.tracked.batch(call))
        dy = by_channel(self.arrays[f"dy:{number}"].astype(self.wide))
        by_state = statistics_gradients(later.forward, dy, self.rules)
        bounds = gradient_errors(later.forward, later.errors, dy, self.precision, self.rules, by_state)
        # The gradient of a state is of the state's dtype.
        bounds |= {
            name: bounds[name] + storing_error(value, self.tracked.dtype, self.precision)
            for name, value in by_state.items()
        }
        value = update_gradient(call, by_state, weight, factor)
        bound = update_gradient_error(
            call, earlier.errors.batch, by_state, bounds, float(weight), float(factor), self.precision
        )
        if option == "detached" or not moved:
            value, bound = np.zeros_like(value), np.zeros_like(bound)
        self.written.rows(number, "dx_earlier", value, bound, call.shape)

    def _unknown_state(self) -> bool:
        return self.layer.param_dtype in HALVES and self.rules.dialect.state_dtype == "undeclared"

    def _read_state(self, number: int, step: Step) -> None:
        seen, errors = self.tracked.shown, self.tracked.shown_errors
        for name, value, error in (("running_mean", seen.mean, errors.mean), ("running_var", seen.var, errors.var)):
            if name not in step.observe or not self.layer.tracked:
                continue
            if self._unknown_state():
                self.written.unknown(number, name, "state_dtype")
            else:
                self.written.state(number, name, value, error, self.tracked.dtype)
