"""Which rules predict what was observed: every option of every choice is tried, then every named mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from conformance.definition.dialect import UNDECLARED, Dialect, choices, options
from conformance.definition.prediction import Expected, Key, Predicted, Refused, Undetermined
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS, named
from conformance.host.observation import UNSUPPORTED, Observation, Outcome, Raised
from conformance.verdict.compare import Comparison, compare
from conformance.verdict.oracle import Question

__all__ = ["Answer", "Inference", "Told", "infer", "with_choice"]

#: Choices that show together in one number: they are tried together.
_TOGETHER = ("momentum", "running_variance", "first_update")
#: The others, constants first, on which every number depends.
_ALONE = ("constants", *(choice for choice in choices() if choice not in (*_TOGETHER, "constants")))
#: How many mistakes an implementation is taken to make at most.
_MOST = 5
#: By what factor a poorer precision widens the bound of a quantity that shows it.
_WIDER = 100
#: Of how many mistakes the choices are settled anew beside.
_TRIED = 6


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


@dataclass(frozen=True)
class Told:
    """One choice as it was found, and by which number it is told from the others.

    ``option`` is the option; several, joined by `` or ``, where the probes do not tell them apart; or none.
    """

    choice: str
    option: str | None
    evidence: str


@dataclass
class Inference:
    """The rules that fit best, and what they leave unexplained."""

    answers: Mapping[str, Answer]
    rules: Rules = field(default_factory=lambda: Rules(dialect=Dialect(**_FIRST)))
    mistakes: tuple[str, ...] = ()
    tied: frozenset[str] = frozenset()

    @property
    def unexplained(self) -> dict[str, tuple[Key, ...]]:
        """Return what no rules predict, by probe."""
        return {name: keys for name, answer in self.answers.items() if (keys := answer.misfits(self.rules))}

    def told(self) -> tuple[Told, ...]:
        """Return every choice with its evidence."""
        return tuple(self._told(choice) for choice in choices())

    def _told(self, choice: str) -> Told:
        best = getattr(self.rules.dialect, choice)
        others = [option for option in options(choice) if option not in (UNDECLARED, best)]
        proofs = [(option, self.proof(with_choice(self.rules, {choice: option}))) for option in others]
        apart = [(option, proof) for option, proof in proofs if proof]
        if not apart:
            return Told(choice, None, self._silence(choice))
        alike = [option for option, proof in proofs if not proof]
        found = " or ".join([best, *alike])
        where = apart[0][1].partition(": ")
        said = ", ".join(f"{option} predicts {proof.split('; predicted ')[1]}" for option, proof in apart)
        first = where[2].partition("; predicted ")[0]
        own = self._own(apart[0][0], choice)
        return Told(choice, found, f"{where[0]}: {first}; {best} predicts {own}, {said}")

    def proof(self, other: Rules) -> str:
        """Return where other rules go wrong and these do not: the number observed, and the one predicted."""
        found = self._apart(other)
        if found is None:
            return ""
        name, key, seen, _, wrong = found
        return f"probe {name}, step {key[0]}, {key[1]}: {seen}; predicted {wrong}"

    def _own(self, option: str, choice: str) -> str:
        found = self._apart(with_choice(self.rules, {choice: option}))
        return found[3] if found is not None else ""

    def _apart(self, other: Rules) -> tuple[str, Key, str, str, str] | None:
        for name, answer in self.answers.items():
            mine = set(answer.misfits(self.rules))
            for key in answer.misfits(other):
                if key not in mine:
                    return (name, key, *_numbers(answer, key, self.rules, other))
        return None

    def _silence(self, choice: str) -> str:
        answer = self.answers.get(_PROBE_OF.get(choice, ""))
        if answer is None:
            return "not asked: the implementation says that it lacks what the probe needs"
        raised = [one for one in answer.seen.outcomes.values() if isinstance(one, Raised)]
        if raised:
            return f"the probe raised {raised[0].type}: {raised[0].message.splitlines()[0][:100]}"
        return "no probe tells the options apart"


_PROBE_OF = {
    "statistics_gradient": "statistics-gradient", "update_gradient": "update-gradient",
    "recomputation": "recomputation", "frozen": "frozen", "untracked": "untracked", "momentum": "update",
    "running_variance": "update", "first_update": "update", "constants": "train", "state_dtype": "state-dtype",
    "exported": "exported",
}  # fmt: skip
_FIRST: dict[str, Any] = {
    choice: next(option for option in options(choice) if option != UNDECLARED) for choice in choices()
}


def infer(answers: Mapping[str, Answer]) -> Inference:
    """Return the rules that predict the answers: fewest misfits first, then the simpler ones.

    The choices are settled first; then, as long as something does not fit, the mistake that mends most is added and
    the choices are settled again.
    """
    found = Inference(answers)
    found.rules = _settled(answers, found.rules)
    for _ in range(_MOST):
        left = _count(answers, found.rules)
        if not left:
            break
        mended = _mended(answers, found.rules, left)
        if mended is None:
            break
        found.rules, found.mistakes = mended[1], (*found.mistakes, mended[0])
    return found


def _settled(answers: Mapping[str, Answer], rules: Rules) -> Rules:
    """Choose the best option of each choice, those together that show together, by the probes that are about them."""
    rules = _settled_together(answers, rules, ("update", "forward-alone", "train"))
    for choice in _ALONE:
        own = _PROBE_OF.get(choice, "train")
        about = _about(answers, (own, "update") if choice == "constants" else (own,))
        rules = _best(about, [with_choice(rules, {choice: option}) for option in _known(choice)])
    return rules


def _settled_together(answers: Mapping[str, Answer], rules: Rules, probes: Sequence[str]) -> Rules:
    rows = product(*(_known(choice) for choice in _TOGETHER))
    candidates = [with_choice(rules, dict(zip(_TOGETHER, row, strict=True))) for row in rows]
    return _best(_about(answers, probes), candidates)


def _about(answers: Mapping[str, Answer], names: Sequence[str]) -> Mapping[str, Answer]:
    return {name: answer for name, answer in answers.items() if name in names}


def _known(choice: str) -> tuple[str, ...]:
    return tuple(option for option in options(choice) if option != UNDECLARED)


def _best(answers: Mapping[str, Answer], candidates: Iterable[Rules]) -> Rules:
    """Return the candidate with the fewest misfits, the first of those alike."""
    return min(candidates, key=lambda rules: _count(answers, rules))


def _mended(answers: Mapping[str, Answer], rules: Rules, left: int) -> tuple[str, Rules] | None:
    """Return the mistake that leaves the fewest misfits, with the choices beside it; none if none mends any.

    The choices stay as they are; only if no mistake mends all of it, they are settled anew beside each, since they
    may have been settled wrongly while the mistake was not known.
    """
    variants = [VARIANTS[name] for name in named(choices=False)]
    variants = [*variants, *(one for one in VARIANTS.values() if one.choices and one.mistakes)]
    wrong = {name: answer for name, answer in answers.items() if answer.misfits(rules)}
    kept = {one.name: one.applied_to(rules) for one in variants if one.changes(rules)}
    counted = {name: _count(wrong, changed) for name, changed in kept.items()}
    promising = sorted((name for name in counted if counted[name] < left), key=counted.__getitem__)
    promising = [name for name in promising if _earned(answers, rules, kept[name])]
    promising = _both_kinds(promising, kept, rules)
    best = _fewest(answers, {name: _settled(answers, kept[name]) for name in promising})
    if best is not None and best[0] == 0:
        return best[1:]
    if set(wrong) & {_PROBE_OF[choice] for choice in _TOGETHER}:
        anew = {name: _settled_together(answers, changed, ("update",)) for name, changed in kept.items()}
        anew = {name: changed for name, changed in anew.items() if _earned(answers, rules, changed)}
        likely = sorted(anew, key=lambda name: _count(wrong, anew[name]))[:_TRIED]
        other = _fewest(answers, {name: _settled(answers, anew[name]) for name in likely})
        best = min((one for one in (best, other) if one is not None), key=lambda one: one[0], default=None)
    return best[1:] if best is not None and best[0] < left else None


def _earned(answers: Mapping[str, Answer], rules: Rules, changed: Rules) -> bool:
    """Tell whether a poorer precision is seen where it would show: half of what it widens misfits without it."""
    if _vague(changed) <= _vague(rules):
        return True
    wider = misfits = 0
    for answer in answers.values():
        before, after, wrong = answer.question.predict(rules), answer.question.predict(changed), answer.misfits(rules)
        for key in answer.seen.outcomes:
            one, other = before.get(key), after.get(key)
            if isinstance(one, Expected) and isinstance(other, Expected) and one.plain.shape == other.plain.shape:
                widened = bool((other.plain > _WIDER * one.plain).any())
                wider += widened
                misfits += widened and key in wrong
    return 2 * misfits >= wider


def _both_kinds(names: Sequence[str], candidates: Mapping[str, Rules], rules: Rules) -> list[str]:
    """Return the first of those that allow no more rounding than ``rules``, and the first of all."""
    sharp = [name for name in names if _vague(candidates[name]) <= _vague(rules)]
    return list(dict.fromkeys((*sharp[:_TRIED], *names[:2])))


def _fewest(answers: Mapping[str, Answer], candidates: Mapping[str, Rules]) -> tuple[int, str, Rules] | None:
    """Return the candidate with the fewest misfits.

    One that merely allows more rounding is taken where it leaves nothing, or where there is no other.
    """
    counted = {name: _count(answers, rules) for name, rules in candidates.items()}
    if not counted:
        return None
    name = min(counted, key=lambda one: (counted[one] > 0, _vague(candidates[one]), counted[one]))
    return counted[name], name, candidates[name]


def _vague(rules: Rules) -> int:
    """Return how far rules widen the bounds: what a poorer precision explains, a formula may explain better."""
    return (rules.computed_in != "own") + (rules.variance_algorithm != "two-pass")


def with_choice(rules: Rules, changes: Mapping[str, str]) -> Rules:
    """Return ``rules`` with other options of their dialect."""
    typed: dict[str, Any] = dict(changes)
    return replace(rules, dialect=replace(rules.dialect, **typed))


def _count(answers: Mapping[str, Answer], rules: Rules) -> int:
    return sum(len(answer.misfits(rules)) for answer in answers.values())


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


def _numbers(answer: Answer, key: Key, mine: Rules, other: Rules) -> tuple[str, str, str]:
    """Return observed and both predicted values where the predictions differ most."""
    seen = answer.seen.outcomes.get(key)
    ours, theirs = (answer.question.predict(rules).get(key) for rules in (mine, other))
    if isinstance(seen, Raised):
        return f"raises {seen.type}", _short(ours), _short(theirs)
    if seen is None or not isinstance(ours, Expected) or not isinstance(theirs, Expected):
        refused = any(
            isinstance(answer.question.predict(other).get((key[0], kind)), Refused) for kind in ("outcome",)
        )
        return "an answer", "one", "an error" if refused else _short(theirs)
    if seen.dtype.name != theirs.dtype:
        return seen.dtype.name, ours.dtype, theirs.dtype
    gap = np.abs((ours.value - theirs.value).astype(np.float64)).reshape(-1)
    at = int(np.argmax(np.where(np.isnan(gap), np.inf, gap)))
    values = (array.astype(np.float64).reshape(-1)[at] for array in (seen, ours.value, theirs.value))
    first, second, third = (f"{value:.7g}" for value in values)
    return first, second, third


def _short(predicted: Predicted | None) -> str:
    if isinstance(predicted, Refused):
        return "an error"
    return "an answer" if isinstance(predicted, Expected) else "nothing"
