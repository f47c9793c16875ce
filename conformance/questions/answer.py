"""A topic answered: its text, and its numbers from the oracle or from implementations."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from conformance.definition.dialect import UNDECLARED, Dialect, choices, options
from conformance.definition.prediction import Expected, Key
from conformance.definition.rules import Rules
from conformance.host.observation import UNSUPPORTED, Observation, Raised
from conformance.topics.table import Shown, Topic
from conformance.verdict.oracle import Question

__all__ = ["observed", "predicted", "render"]

Numbers = Mapping[str, str]


def predicted(topic: Topic) -> dict[str, dict[str, str]]:
    """Return the numbers by what is shown, then by the dialect that the oracle is asked under."""
    asked, case = topic.asked, topic.asked.question()
    table: dict[str, dict[str, str]] = {one.label: {} for one in asked.shown}
    for name, changes in asked.under.items():
        typed: dict[str, Any] = dict(changes)
        epsilon = float(typed.pop("epsilon", case.epsilon))
        question = Question(msgspec.structs.replace(case, epsilon=epsilon))
        found = question.predict(Rules(dialect=replace(_DETERMINED, **typed)))
        arrays = {key: one.value for key, one in found.items() if isinstance(one, Expected)}
        for one in asked.shown:
            table[one.label][name] = _number(one, arrays)
    return table


def observed(topic: Topic, seen: Mapping[str, Observation | str]) -> dict[str, dict[str, str]]:
    """Return the numbers by what is shown, then by implementation; a text stands for one that did not answer."""
    table: dict[str, dict[str, str]] = {one.label: {} for one in topic.asked.shown}
    for name, observation in seen.items():
        for one in topic.asked.shown:
            table[one.label][name] = _told(one, observation)
    return table


def _told(shown: Shown, observation: Observation | str) -> str:
    if isinstance(observation, str):
        return observation
    failed = observation.outcomes.get((shown.step, "outcome"), observation.outcomes.get((0, "outcome")))
    if isinstance(failed, Raised):
        return f"cannot be asked: {failed.message}" if failed.type == UNSUPPORTED else f"raises {failed.type}"
    arrays = {key: one for key, one in observation.outcomes.items() if not isinstance(one, Raised)}
    return _number(shown, arrays)


def _number(shown: Shown, arrays: Mapping[Key, NDArray[Any]]) -> str:
    array = arrays.get((shown.step, shown.quantity))
    if array is None:
        return "nothing"
    values = array.astype(np.float64)
    if shown.reduced == "apart":
        other = arrays.get((shown.other, shown.quantity))
        return "nothing" if other is None else f"{np.abs(values - other.astype(np.float64)).max():.6g}"
    if shown.reduced == "largest":
        largest = float(np.abs(values).max())
        return f"{largest:.6g}" if largest > _ROUNDING else f"{largest:.2g} (rounding)" if largest else "0"
    return f"{values.reshape(-1)[-1 if shown.reduced == 'last' else 0]:.7g}"


def render(topic: Topic, table: Mapping[str, Numbers]) -> str:
    """Return question, answer and numbers as text."""
    lines = [topic.question, "", *textwrap.wrap(topic.answer, 100), ""]
    for said, numbers in table.items():
        lines.append(f"  {said}")
        width = max(map(len, numbers))
        lines += [f"    {name:{width}}  {number}" for name, number in numbers.items()]
    lines += ["", f"Asked of every implementation by the cases {', '.join(topic.cases)}"]
    if topic.source:
        lines.append(f"The thread that asked: {topic.source}")
    return "\n".join(lines) + "\n"


_ROUNDING = 1e-12
_FIRST: dict[str, Any] = {
    choice: next(option for option in options(choice) if option != UNDECLARED) for choice in choices()
}
_DETERMINED = Dialect(**_FIRST)
