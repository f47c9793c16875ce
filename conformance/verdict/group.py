"""The short group key under which an observation that is not judged is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.definition.dialect import Dialect, options
from conformance.definition.prediction import Expected, Key, Undetermined
from conformance.definition.rules import Rules
from conformance.host.observation import Observation, Raised
from conformance.verdict.compare import Array, Comparison, compare
from conformance.verdict.oracle import Question

__all__ = ["describe", "group"]


def group(question: Question, dialect: Dialect, key: Key, choice: Undetermined, observed: Array | Raised | None) -> str:
    """Name the option of an undeclared choice that the observation fits, or what it looks like.

    An observation that fits no option says so: it is never taken for one.
    """
    if isinstance(observed, Raised):
        return f"raises {observed.type}"
    if observed is None:
        return "nothing"
    for option in options(choice.choice):
        if option == "undeclared":
            continue
        changes: dict[str, Any] = {choice.choice: option}
        expected = question.predict(Rules(dialect=replace(dialect, **changes))).get(key)
        if not isinstance(expected, Expected):
            continue
        comparison = compare(observed, expected)
        if isinstance(comparison, Comparison) and comparison.plain:
            return option
    if np.isnan(observed.astype(np.float64)).any():
        return "NaN, fits no option"
    return "finite, fits no option"


def describe(question: Question, observation: Observation) -> str:
    """Summarise all outcomes of an open case to a group key: the last output, and what became of the state."""
    outcomes = observation.outcomes
    raised = [f"raises {outcome.type}" for _, outcome in sorted(outcomes.items()) if isinstance(outcome, Raised)]
    arrays = {key: value for key, value in sorted(outcomes.items()) if not isinstance(value, Raised)}
    said = raised[:1]
    for name in ("y", "dx"):
        last = [value for (_, quantity), value in arrays.items() if quantity == name]
        if last:
            said.append(_output(name, last[-1], question.arrays.get("beta")))
    states = [_state(question, name, arrays) for name in ("running_mean", "running_var")]
    return ", ".join((*said, *(state for state in states if state is not None)))


def _output(name: str, value: Array, beta: Array | None) -> str:
    numbers = value.astype(np.float64)
    if numbers.size == 0:
        return f"{name} empty"
    constant = np.zeros(numbers.shape[1]) if beta is None or name == "dx" else beta.astype(np.float64)
    if np.array_equal(numbers, np.broadcast_to(constant.reshape(1, -1, *(1,) * (numbers.ndim - 2)), numbers.shape)):
        return f"{name} = {'beta' if name == 'y' else '0'}"
    return f"{name} {_kind(numbers)}"


def _state(question: Question, name: str, arrays: Mapping[Key, Array]) -> str | None:
    seen = [value for (_, quantity), value in arrays.items() if quantity == name]
    if not seen:
        return None
    now, before = seen[-1].astype(np.float64), question.arrays.get(name)
    if before is not None and np.array_equal(now, before.astype(np.float64), equal_nan=True):
        return f"{name} unchanged"
    return f"{name} {_kind(now)}"


def _kind(numbers: Array) -> str:
    if np.isnan(numbers).any():
        return "NaN"
    return "infinite" if np.isinf(numbers).any() else "finite"
