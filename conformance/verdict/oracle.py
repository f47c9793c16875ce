"""Predictions of a case under any rules, computed once each and shared by all implementations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from conformance.corpus.case import Case
from conformance.corpus.inputs import inputs_of
from conformance.definition.consulted import Consulted, Kept
from conformance.definition.prediction import Key, Prediction
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate
from conformance.durations import spent
from conformance.verdict.attribution import clause_of

__all__ = ["Question"]


class Question:
    """A case with its inputs and whatever has been predicted of it so far."""

    def __init__(self, case: Case, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        self.case = case
        self.arrays = inputs_of(case) if arrays is None else arrays
        self._predictions: dict[int | None, Kept] = {}
        self._known: dict[tuple[Rules, int | None], Prediction] = {}
        self._clauses: dict[Key, str] = {}

    def scratch(self) -> Question:
        """Return the same question without what was predicted: for the many predictions that an explanation tries."""
        return Question(self.case, self.arrays)

    def predict(self, rules: Rules, *, until: int | None = None) -> Prediction:
        """Return the prediction under ``rules``, up to the step ``until`` if one is given.

        The same object for all rules that differ only in what the case does not ask about.
        """
        known = self._known.get((rules, until))
        if known is not None:
            return known
        kept = self._predictions.setdefault(until, Kept())
        found = kept.find(rules)
        if found is None:
            with spent("oracle"):
                noted: list[tuple[str, str]] = []
                found = simulate(self.case, self.arrays, Consulted(rules, noted).rules, until=until)
            kept.keep(noted, found)
        self._known[rules, until] = found
        return found

    def clause(self, key: Key) -> str:
        """Return the clause that a quantity is judged by."""
        found = self._clauses.get(key)
        if found is None:
            found = self._clauses[key] = clause_of(self.case, key)
        return found

    @cached_property
    def measured(self) -> bool:
        """Tell whether any step asks how far its output is from another one."""
        return any(step.against is not None or step.target is not None for step in self.case.program)
