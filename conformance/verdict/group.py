"""The short group key under which an observation that is not judged is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.definition.dialect import Dialect, options
from conformance.definition.prediction import Expected, Key, Refused, Undetermined
from conformance.definition.rules import Rules
from conformance.host.observation import Raised
from conformance.verdict.compare import Array, Comparison, compare
from conformance.verdict.oracle import Question

__all__ = ["group"]


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
        if isinstance(expected, Refused) or not isinstance(expected, Expected):
            continue
        comparison = compare(observed, expected)
        if isinstance(comparison, Comparison) and comparison.plain:
            return option
    if np.isnan(observed.astype(np.float64)).any():
        return "NaN, fits no option"
    return "finite, fits no option"
