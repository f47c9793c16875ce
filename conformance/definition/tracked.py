"""The running statistics along a case: their values, how far rounding may have taken them, and their dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.corpus.case import Case, Layer
from conformance.definition.batch_norm import Array, Forward, State
from conformance.definition.bounds import StateErrors, update_errors
from conformance.definition.precision import Precision, state_dtypes, unit_of
from conformance.definition.rules import Rules
from conformance.definition.running_state import (
    Batch,
    debias_roundings,
    kept_mean,
    kept_variance,
    kept_variance_error,
    left_of_start,
    update,
    update_weight,
    variance_factor,
)  # fmt: skip
from conformance.definition.storing import reach, rounded, storing_error

__all__ = ["Tracked"]


class Tracked:
    """The state of one layer, moved by batches; its values have shape ``(C, 1)``, its errors ``(2, C, 1)``.

    It is moved when somebody looks at it: of many a case nobody does, and then whatever decides of the update was not
    consulted either.
    """

    def __init__(self, case: Case, layer: Layer, start: State, precision: Precision, rules: Rules) -> None:
        self.layer, self.rules, self.precision = layer, rules, precision
        self.wide: Any = start.mean.dtype.type
        self._at_first, self._settled = state_dtypes(layer.param_dtype, rules, given=case.state != "own")
        exact = np.zeros((2, layer.channels, 1))
        #: What the layer starts with, and what that may be off by.
        self.start = self._stored(start, StateErrors(exact, exact))
        self._state, self._errors = self._shown, self._shown_errors = self.start
        self._to_come: tuple[tuple[Batch, StateErrors], ...] = ()

    @property
    def state(self) -> State:
        """Return the state that is computed with."""
        self._catch_up()
        return self._state

    @property
    def errors(self) -> StateErrors:
        """Return what it may be off by."""
        self._catch_up()
        return self._errors

    @property
    def shown(self) -> tuple[State, StateErrors]:
        """Return what is seen of the state: it is stored after it was computed, and the bound says so."""
        self._catch_up()
        return self._shown, self._shown_errors

    @property
    def dtype(self) -> str:
        """Return the dtype in which the state is seen."""
        return self._settled if self.state.updates else self._at_first

    def batch(self, call: Forward) -> Batch:
        """Return what the update knows of the batch of a forward."""
        return Batch(call.batch_mean, call.batch_var, call.count, call.shape[0], self.layer.epsilon)

    def weight(self) -> Any:
        """Return the weight that the next update gives to its batch."""
        return update_weight(self.state.updates + 1, self.layer.momentum, self.rules)

    def factor(self, batch: Batch) -> Any:
        """Return the factor from the population variance to what is blended in."""
        return variance_factor(batch, self.rules, self.wide)

    def after(self, batch: Batch, times: int) -> State:
        """Return what so many updates with a batch would make of the state, before it is stored."""
        state = self.state
        for _ in range(times):
            state = update(state, batch, self.layer.momentum, self.rules)
        return state

    def errors_after(self, batch: Batch, of_batch: StateErrors) -> StateErrors:
        """Bound the errors of the state that an update with this batch would make."""
        k = self.state.updates + 1
        kept = State(kept_mean(batch, self.rules), kept_variance(batch, self.rules))
        var = kept_variance_error(batch, of_batch.var, self.precision.unit, self.rules)
        of_batch = replace(of_batch, var=var)
        settling = debias_roundings(k, self.layer.momentum, self.rules)
        each = self.rules.update_arithmetic == "state's precision" and self.state.dtype
        errors = update_errors(self.state, self.errors, kept, of_batch, float(self.weight()),
                               float(self.factor(batch)), self.precision, settling,
                               unit_of(self.state.dtype) if each else 0.0)  # fmt: skip
        left = left_of_start(k, self.layer.momentum, self.rules)
        if not left:
            return errors
        return replace(errors, var=errors.var + left * (settling + 4) * self.precision.unit)

    def once_stored(self, moved: State, errors: StateErrors) -> StateErrors:
        """Add to the errors of an updated state what storing it may."""
        if unit_of(self._settled) <= self.precision.unit:
            return errors
        return StateErrors(
            errors.mean + storing_error(moved.mean, self._settled, self.precision),
            errors.var + storing_error(moved.var, self._settled, self.precision),
        )

    def move(self, batch: Batch, of_batch: StateErrors) -> None:
        """Update the state with one batch, its errors along with it, and store it."""
        self._to_come = (*self._to_come, (batch, of_batch))

    def _catch_up(self) -> None:
        to_come, self._to_come = self._to_come, ()
        for batch, of_batch in to_come:
            errors, moved = self.errors_after(batch, of_batch), self.after(batch, 1)
            self._shown, self._shown_errors = moved, self.once_stored(moved, errors)
            self._state, self._errors = self._stored(moved, errors)
            if self.rules.dialect.first_update == "debias":  # What is stored is another number, of which this is made.
                self._state, self._errors = self._shown, self._shown_errors

    def reload(self) -> None:
        """Save and load: the state stays, whatever it was."""
        if self.rules.reload == "lost":
            self._state = self._shown = State(np.zeros_like(self.state.mean), np.ones_like(self.state.var))

    def seen(self) -> tuple[State, StateErrors]:
        """Return the state and its errors, as a caller does who keeps them."""
        return self.state, self.errors

    def put_back(self, kept: Sequence[tuple[State, StateErrors]]) -> None:
        """Put back a state that was kept, with its count of updates, or the average of several."""
        unit = 4 * self.precision.unit + unit_of(self.dtype)
        if len(kept) == 1:
            ((self._state, self._errors),) = kept
            self._shown, self._shown_errors = self._state, self._errors
            return

        def average(parts: list[Array]) -> Array:
            mean: Array = sum(parts[1:], start=parts[0]) / parts[0].dtype.type(len(parts))
            return mean

        def errors(name: str) -> Array:
            sizes = average([np.abs(getattr(state, name)) for state, _ in kept])
            return average([getattr(error, name) for _, error in kept]) + unit * sizes

        mean, var = average([state.mean for state, _ in kept]), average([state.var for state, _ in kept])
        averaged = State(mean, var, sum(state.updates for state, _ in kept) // len(kept))
        self._state, self._errors = self._stored(averaged, StateErrors(errors("mean"), errors("var")))
        self._shown, self._shown_errors = self._state, self._errors

    def _stored(self, state: State, errors: StateErrors) -> tuple[State, StateErrors]:
        """Return the state as it is stored, with what it may be off by then."""
        dtype = self._settled if state.updates else self._at_first
        if unit_of(dtype) <= self.precision.unit:
            return replace(state, dtype="") if state.dtype else state, errors
        unit = unit_of(dtype) if self.rules.state_starts_in != "own" and not state.updates else 0.0
        return (
            replace(state, mean=rounded(state.mean, dtype), var=rounded(state.var, dtype), dtype=dtype),
            StateErrors(reach(state.mean, errors.mean, dtype), reach(state.var, errors.var, dtype), unit),
        )
