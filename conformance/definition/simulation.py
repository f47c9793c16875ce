"""A layer on its way through the steps of a case: its parameters, its state, and the calls made so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.corpus.case import Case, Step
from conformance.definition.batch_norm import (
    Array,
    Forward,
    Parameters,
    State,
    by_channel,
    column,
    forward,
    statistics,
)
from conformance.definition.bounds import ForwardErrors, StateErrors, forward_errors, saved_errors
from conformance.definition.constants import kept_constants
from conformance.definition.precision import HALVES, unit_of, working_precision
from conformance.definition.rules import Rules
from conformance.definition.running_state import Batch, effective_mode, moves, shared
from conformance.definition.saved import saved
from conformance.definition.tracked import Tracked
from conformance.definition.writer import Writer

__all__ = ["Call", "Simulation"]


@dataclass(frozen=True)
class Call:
    """A forward with its error bounds, kept for its backward; the first call of a case is number 1."""

    forward: Forward
    errors: ForwardErrors
    number: int


class Simulation:
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
        self.calls: dict[str, Call] = {}
        self.numbers: dict[str, int] = {}
        self.latest: Call | None = None
        self.called = 0
        self.backwards: dict[int, int] = {}

    def forward(self, step: Step, asked: str, *, with_backward: bool) -> Call:
        """Do a forward in the mode that is asked for, on the inputs of a step, and move the state."""
        mode, may_move = self.effective(asked)
        # Replicas with synchronised statistics are one batch, cut into pieces.
        parts = [self.arrays[f"x:{label}"] for label in step.labels]
        x = (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(self.wide)
        self.written.poisoned |= bool(np.count_nonzero(np.isfinite(x)) < x.size)
        mask = self.arrays.get(f"mask:{step.labels[0]}") if step.masked else None
        weights = None if mask is None else mask.reshape(1, -1).astype(self.wide)
        rows = by_channel(x)
        counted = rows.shape[1] if weights is None or self.rules.mask == "ignored" else int(weights.sum())
        # A training call that normalises with its batch looks at no state: what that is need not be known yet.
        looks = mode == "evaluate" or self.rules.train_statistics != "batch"
        before, before_errors = self.tracked.seen() if looks else self.tracked.start
        times = moves(mode, self.rules, with_backward=with_backward) if may_move else 0
        would_be = mode == "evaluate" and self.rules.evaluate_uses == "updated"
        moved = before
        if would_be or (mode == "train" and self.rules.train_statistics == "updated"):
            batch = Batch(*statistics(rows, x.shape, self.rules, weights), counted, x.shape[0], self.layer.epsilon)
            moved = self.tracked.after(batch, times or would_be)
        done = forward(rows, mode, x.shape, self.parameters, before, moved, self.rules, weights)
        batch = Batch(done.batch_mean, done.batch_var, counted, x.shape[0], self.layer.epsilon)
        done = shared(done, before, batch, self.layer.momentum, self.rules, moved=times > 0)
        errors = forward_errors(done, before_errors, self.precision, self.rules)
        if would_be or (mode == "train" and times and self.rules.train_statistics == "updated"):
            # Whether the updated statistics are used before or after they are stored is nobody's choice.
            would_err = self.tracked.once_stored(moved, self.tracked.errors_after(batch, errors.batch))
            errors = forward_errors(done, would_err, self.precision, self.rules)
        self.called += 1
        if mode == "train" and self.rules.batch_statistics == "parameters' precision":
            coarse = unit_of(self.layer.param_dtype)
            done, errors = self.rounded_statistics(done, errors, self.layer.param_dtype, coarse)
        self.latest = call = Call(done, errors, self.called)
        for _ in range(times):
            self.tracked.move(batch, errors.batch)
        return call

    def moves(self, asked: str) -> int:
        """Return how often a forward moves the state, with the layer as it is."""
        mode, may_move = self.effective(asked)
        return moves(mode, self.rules, with_backward=False) if may_move else 0

    def move(self, call: Call) -> None:
        """Move the state by the batch of a call once more."""
        self.tracked.move(self.tracked.batch(call.forward), call.errors.batch)

    def recompute(self, call: Call) -> None:
        """Do the forward once more, as checkpointing does in the backward."""
        option = self.rules.dialect.recomputation
        if option == "undeclared":
            self.written.undetermined = "recomputation"
        elif option == "again":
            self.move(call)

    def rounded_statistics(
        self, call: Forward, errors: ForwardErrors, dtype: str, variance_unit: float = 0.0
    ) -> tuple[Forward, ForwardErrors]:
        """Return the forward with the statistics of its batch rounded, where that is coarser than computing."""
        if unit_of(dtype) <= self.precision.unit:
            return call, errors
        stored = saved(call, dtype, self.rules)
        return stored, saved_errors(stored, call, errors, dtype, self.precision, self.rules, variance_unit)

    def effective(self, mode: str) -> tuple[str, bool]:
        """Return the mode whose formulas hold, and whether the state may move, for this layer as it is."""
        dialect = self.rules.dialect
        if mode == "evaluate" and not self.layer.tracked and dialect.untracked == "undeclared":
            self.written.undetermined = "untracked"
        if mode == "evaluate" and self.has_unknown_state() and self.tracked.state.updates:
            self.written.undetermined = "state_dtype"
        if mode == "train" and self.frozen and dialect.frozen == "undeclared":
            self.written.undetermined = "frozen"
        return effective_mode(mode, dialect, tracked=self.layer.tracked, frozen=self.frozen)

    def times_done(self, call: Call) -> int:
        """Count a backward of the call, and return how many times its gradients are what it gives."""
        done = self.backwards[call.number] = self.backwards.get(call.number, 0) + 1
        return done if self.rules.repeated == "accumulates" else 1

    def has_unknown_state(self) -> bool:
        """Tell whether nobody says in which dtype the state is kept."""
        return self.layer.param_dtype in HALVES and self.rules.dialect.state_dtype == "undeclared"
