"""What came back on a probe, held against rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from conformance.definition.prediction import Expected, Key, Predicted, Refused, Undetermined
from conformance.definition.rules import Rules
from conformance.host.observation import UNSUPPORTED, Observation, Outcome, Raised
from conformance.verdict.compare import Comparison, compare
from conformance.verdict.oracle import Question

__all__ = ["Answer", "earned", "vague"]

#: By what factor a poorer precision widens the bound of a quantity that shows it.
_WIDER = 100


@dataclass(frozen=True)
class Answer:
    """What came back on one probe."""

    question: Question
    seen: Observation

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """Return what can be held against a prediction: all that was yielded, and each error raised."""
        return tuple(self.seen.outcomes)

    def misfits(self, rules: Rules) -> tuple[Key, ...]:
        """Return the quantities that ``rules`` predict otherwise."""
        predicted = self.question.predict(rules)
        missing = [
            key for key, value in predicted.items()
            if key not in self.seen.outcomes and isinstance(value, Expected | Refused) and not self._raised(key[0])
        ]  # fmt: skip
        return (*missing, *(key for key, outcome in self.seen.outcomes.items() if not _fits(predicted, key, outcome)))

    def worst(self, rules: Rules) -> str:
        """Return the largest error over tight bound of any quantity, as text."""
        predicted, ratios = self.question.predict(rules), [0.0]
        for key, outcome in self.seen.outcomes.items():
            expected = predicted.get(key)
            if isinstance(expected, Expected) and not isinstance(outcome, Raised):
                compared = compare(outcome, expected)
                ratios.append(float(compared.ratio.max()) if isinstance(compared, Comparison) else np.inf)
        return f"{max(ratios):.3g} times"

    def _raised(self, step: int) -> bool:
        return any((at, "outcome") in self.seen.outcomes for at in (0, step))


def _fits(predicted: Mapping[Key, Predicted], key: Key, outcome: Outcome) -> bool:
    if isinstance(outcome, Raised):
        if outcome.type == UNSUPPORTED:
            return True  # an ability that the adapter lacks tells nothing
        return isinstance(predicted.get((key[0], "outcome")), Refused)
    expected = predicted.get(key)
    if isinstance((predicted.get((key[0], "outcome"))), Refused):
        return False
    if expected is None or isinstance(expected, Undetermined):
        return True
    if not isinstance(expected, Expected):
        return True
    comparison = compare(outcome, expected)
    return isinstance(comparison, Comparison) and comparison.plain


def earned(answers: Mapping[str, Answer], rules: Rules, changed: Rules) -> bool:
    """Tell whether a poorer precision is seen where it would show.

    Half of what it widens misfits without it, and half of that is not off by far less than it would be.
    """
    if vague(changed) <= vague(rules):
        return True
    wider = misfits = far_off = 0
    for answer in answers.values():
        before, after, wrong = answer.question.predict(rules), answer.question.predict(changed), answer.misfits(rules)
        for key, seen in answer.seen.outcomes.items():
            one, other = before.get(key), after.get(key)
            if isinstance(one, Expected) and isinstance(other, Expected) and one.plain.shape == other.plain.shape:
                widened = bool((other.plain > _WIDER * one.plain).any())
                wider += widened
                misfits += widened and key in wrong
                far_off += widened and key in wrong and _WIDER * _ratio(seen, other) >= 1
    return 2 * misfits >= wider and (changed.computed_in == rules.computed_in or 2 * far_off >= misfits)


def _ratio(seen: Outcome, expected: Expected) -> float:
    """Return the largest error of an outcome in tight bounds; nothing of one that cannot be compared."""
    compared = None if isinstance(seen, Raised) else compare(seen, expected)
    return float(np.nan_to_num(compared.ratio, posinf=0).max(initial=0)) if isinstance(compared, Comparison) else 0.0


def vague(rules: Rules) -> int:
    """Return how far rules widen the bounds: what a poorer precision explains, a formula may explain better."""
    recovered = rules.variance_kept == "recovered"
    return (rules.computed_in != "own") + (rules.variance_algorithm != "two-pass") + recovered
