"""Which variant, or pair of variants, of the oracle accounts for what was observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from conformance.definition.prediction import Expected, Key, Predicted, Prediction, Refused
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS, apply
from conformance.host.observation import Outcome, Raised
from conformance.verdict.compare import Comparison, apart, compare, distance, widened
from conformance.verdict.oracle import Question

__all__ = ["Explanation", "explain"]

#: Pairs are tried in the order of the table up to this many; a step costs up to 1 ms each.
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
    question: Question, rules: Rules, observed: Mapping[Key, Outcome], differing: Iterable[Key]
) -> dict[Key, Explanation]:
    """Explain each differing quantity by a variant of ``rules``, the same one for as many as possible."""
    wanted = tuple(differing)
    singles: dict[tuple[str, ...], Rules] = {
        (name,): VARIANTS[name].applied_to(rules) for name in VARIANTS if VARIANTS[name].changes(rules)
    }
    # Hundreds of predictions are tried; kept with the question they would fill the memory of a long run.
    question = question.scratch()
    base = question.predict(rules)
    found = _matches(question, singles, observed, wanted, base)
    left = [key for key in wanted if not found[key].matches]
    if left:
        pairs = _pairs(question, rules, singles, observed, left)
        for key, explanation in _matches(question, pairs, observed, left, base).items():
            if explanation.matches or explanation.distance < found[key].distance:
                found[key] = explanation
    return found


def _matches(
    question: Question, candidates: Mapping[tuple[str, ...], Rules], observed: Mapping[Key, Outcome],
    wanted: Iterable[Key], base: Prediction,
) -> dict[Key, Explanation]:
    predictions = {names: question.predict(rules) for names, rules in candidates.items()}
    fits = {names: _fits_of(prediction, observed, base) for names, prediction in predictions.items()}
    # A variant that also accounts for the rest of the cell explains more than one that does not; of
    # those alike in that, one that says what is to be seen explains more than one that allows much.
    ranked = sorted(fits, key=lambda names: _rank(fits[names]))
    found = {}
    for key in wanted:
        fitting = [names for names in ranked if fits[names].get(key, _NO_FIT).fits]
        if fitting:
            found[key] = Explanation(fitting[0], matches=True)
        else:
            found[key] = _nearest(predictions, observed, key, base)
    return found


@dataclass(frozen=True)
class _Fit:
    """How one quantity sits in a prediction: inside it or not, and how much wider than declared that is."""

    fits: bool
    vague: bool = False
    residual: float = 0.0


_NO_FIT = _Fit(fits=False)


def _fits_of(prediction: Prediction, observed: Mapping[Key, Outcome], base: Prediction) -> dict[Key, _Fit]:
    keys = observed.keys() | {key for key, expected in base.items() if isinstance(expected, Refused)}
    return {key: _fit(prediction.get(key), observed.get(key), base.get(key)) for key in keys}


def _fit(expected: Predicted | None, seen: Outcome | None, declared: Predicted | None) -> _Fit:
    if isinstance(seen, Raised) or isinstance(declared, Refused):
        return _Fit(isinstance(seen, Raised) == isinstance(expected, Refused))
    if not isinstance(expected, Expected) or seen is None:
        return _NO_FIT
    comparison = compare(seen, expected)
    if not isinstance(comparison, Comparison) or not comparison.plain:
        return _NO_FIT
    if not isinstance(declared, Expected) or declared.plain.shape != expected.plain.shape:
        return _Fit(fits=True)
    return _Fit(fits=True, vague=widened(declared, expected), residual=distance(expected, seen, declared.tight))


def _rank(fits: Mapping[Key, _Fit]) -> tuple[int, int, float]:
    """Return how little a variant explains of a cell: misfits, vague fits, the residuals in declared bounds."""
    misfits = sum(not fit.fits for fit in fits.values())
    vague = sum(fit.vague for fit in fits.values())
    return misfits, vague, sum(fit.residual for fit in fits.values())


def _nearest(
    predictions: Mapping[tuple[str, ...], Prediction], observed: Mapping[Key, Outcome], key: Key, base: Prediction
) -> Explanation:
    """Return the variant that comes closest, in bounds of what was declared: a vague one is not close."""
    unit, seen = base.get(key), observed.get(key)
    if not isinstance(unit, Expected) or seen is None or isinstance(seen, Raised):
        return Explanation((), matches=False, distance=float("inf"))
    distances = {
        names: distance(expected, seen, unit.tight)
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


def _pairs(
    question: Question, rules: Rules, singles: Mapping[tuple[str, ...], Rules], observed: Mapping[Key, Outcome],
    left: Sequence[Key],
) -> dict[tuple[str, ...], Rules]:  # fmt: skip
    """Combine variants that each change the same of what is left to explain; keep the pairs that may account for it.

    A pair is sought by the first step that has something left: its predictions end there. Where none
    fits anything of that step, none is sought by the later ones.
    """
    first = min(number for number, _ in left)
    keys = [key for key in left if key[0] == first]
    base = question.predict(rules, until=first)
    effects = {
        names[0]: {key for key in keys if _affects(base, question.predict(changed), key)}
        for names, changed in singles.items()
    }
    together = [pair for pair in combinations(effects, 2) if effects[pair[0]] & effects[pair[1]]]
    pairs = {pair: apply(pair, rules) for pair in together[:_MOST_PAIRS]}
    known = set(singles.values())
    return {pair: changed for pair, changed in pairs.items() if changed not in known and _any_fits(
        question.predict(changed, until=first), observed, keys)}  # fmt: skip


def _any_fits(prediction: Prediction, observed: Mapping[Key, Outcome], keys: Iterable[Key]) -> bool:
    return any(_fit(prediction.get(key), observed.get(key), None).fits for key in keys)


def _affects(base: Prediction, changed: Prediction, key: Key) -> bool:
    one, other = base.get(key), changed.get(key)
    return isinstance(one, Expected) and isinstance(other, Expected) and apart(one, other)
