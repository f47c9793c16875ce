"""Which variant, or pair of variants, of the oracle accounts for what was observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from conformance.definition.prediction import Expected, Key, Prediction
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS, apply
from conformance.verdict.compare import Array, Comparison, apart, compare, distance, widened
from conformance.verdict.oracle import Question

__all__ = ["Explanation", "explain"]

#: Pairs are tried in the order of the table up to this many; a case costs about 1 ms each.
_MOST_PAIRS = 600


@dataclass(frozen=True)
class Explanation:
    """What was found for one quantity: the names that match, or the nearest that does not."""

    names: tuple[str, ...]
    matches: bool
    distance: float = 0.0

    @property
    def variant(self) -> str | None:
        """Return the matching names joined by `` + ``, ``None`` if nothing matches."""
        return " + ".join(self.names) if self.matches else None

    @property
    def text(self) -> str:
        """Return one or two sentences for the report."""
        if self.matches:
            sentences = " ".join(VARIANTS[name].sentence for name in self.names)
            return f"matches the variant '{self.variant}': {sentences}"
        if not self.names:
            return "no variant explains it"
        return f"no variant explains it; the nearest is '{' + '.join(self.names)}', {self.distance:.3g} bounds away"


def explain(
    question: Question, rules: Rules, observed: Mapping[Key, Array], differing: Iterable[Key]
) -> dict[Key, Explanation]:
    """Explain each differing quantity by a variant of ``rules``, the same one for as many as possible."""
    wanted = tuple(differing)
    singles: dict[tuple[str, ...], Rules] = {
        (name,): VARIANTS[name].applied_to(rules) for name in VARIANTS if VARIANTS[name].changes(rules)
    }
    base = question.predict(rules)
    found = _matches(question, singles, observed, wanted, base)
    left = [key for key in wanted if not found[key].matches]
    if left:
        pairs = _pairs(question, rules, singles, left)
        for key, explanation in _matches(question, pairs, observed, left, base).items():
            if explanation.matches or explanation.distance < found[key].distance:
                found[key] = explanation
    return found


def _matches(
    question: Question, candidates: Mapping[tuple[str, ...], Rules], observed: Mapping[Key, Array],
    wanted: Iterable[Key], base: Prediction,
) -> dict[Key, Explanation]:
    predictions = {names: question.predict(rules) for names, rules in candidates.items()}
    # A variant that also accounts for the rest of the cell explains more than one that does not.
    score = {names: _fitting(prediction, observed) for names, prediction in predictions.items()}
    ranked = sorted(predictions, key=lambda names: -score[names])
    found = {}
    for key in wanted:
        fitting = [names for names in ranked if _fits(predictions[names], observed, key)]
        if fitting:
            found[key] = Explanation(fitting[0], matches=True)
        else:
            found[key] = _nearest(predictions, observed, key, base)
    return found


def _nearest(
    predictions: Mapping[tuple[str, ...], Prediction], observed: Mapping[Key, Array], key: Key, base: Prediction
) -> Explanation:
    """Return the variant that comes closest, in bounds of what was declared: a vague one is not close."""
    unit = base.get(key)
    if not isinstance(unit, Expected) or key not in observed:
        return Explanation((), matches=False, distance=float("inf"))
    distances = {
        names: distance(expected, observed[key], unit.tight)
        for names, prediction in predictions.items()
        if isinstance(expected := prediction.get(key), Expected) and _same_key_differs(expected, unit)
    }
    if not distances:
        return Explanation((), matches=False, distance=float("inf"))
    names = min(distances, key=distances.__getitem__)
    return Explanation(names, matches=False, distance=distances[names])


def _same_key_differs(expected: Expected, unit: Expected) -> bool:
    """Tell whether a variant changes the quantity at all: one that does not explains nothing."""
    return apart(expected, unit) or widened(unit, expected)


def _fits(prediction: Prediction, observed: Mapping[Key, Array], key: Key) -> bool:
    expected = prediction.get(key)
    if not isinstance(expected, Expected) or key not in observed:
        return False
    comparison = compare(observed[key], expected)
    return isinstance(comparison, Comparison) and comparison.plain


def _fitting(prediction: Prediction, observed: Mapping[Key, Array]) -> int:
    return sum(_fits(prediction, observed, key) for key in observed)


def _pairs(
    question: Question, rules: Rules, singles: Mapping[tuple[str, ...], Rules], left: Iterable[Key]
) -> dict[tuple[str, ...], Rules]:
    """Combine the variants that have an effect on what is left to explain."""
    base = question.predict(rules)
    effective = [names[0] for names, changed in singles.items() if _affects(base, question.predict(changed), left)]
    pairs = {pair: apply(pair, rules) for pair in combinations(effective, 2)}
    return {pair: changed for pair, changed in list(pairs.items())[:_MOST_PAIRS] if changed not in singles.values()}


def _affects(base: Prediction, changed: Prediction, keys: Iterable[Key]) -> bool:
    for key in keys:
        one, other = base.get(key), changed.get(key)
        if isinstance(one, Expected) and isinstance(other, Expected) and apart(one, other):
            return True
    return False
