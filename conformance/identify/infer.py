"""Which rules predict what was observed: every option of every choice is tried, then every named mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from conformance.definition.dialect import UNDECLARED, Dialect, choices, options
from conformance.definition.prediction import Key
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS, apply, named
from conformance.host.observation import Raised
from conformance.identify.answers import Answer, earned, vague
from conformance.identify.evidence import Proof, effect, proof_at, told_apart
from conformance.identify.places import Local, places
from conformance.identify.probes import PARTICULAR

__all__ = ["Answer", "Inference", "Told", "infer", "with_choice"]

#: Choices that show together in one number: they are tried together.
_TOGETHER = ("momentum", "running_variance", "first_update")
#: The others, constants first, on which every number depends.
_ALONE = ("constants", *(choice for choice in choices() if choice not in (*_TOGETHER, "constants")))
#: How many mistakes an implementation is taken to make at most.
_MOST = 5
#: Of how many mistakes the choices are settled anew beside.
_TRIED = 6


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
    """The rules that fit best, the mistakes among them, those of single probes, and what is left unexplained."""

    answers: Mapping[str, Answer]
    rules: Rules = field(default_factory=lambda: Rules(dialect=Dialect(**_FIRST)))
    mistakes: tuple[str, ...] = ()
    local: tuple[Local, ...] = ()

    @property
    def unexplained(self) -> dict[str, tuple[Key, ...]]:
        """Return what no rules predict, by probe."""
        explained = {probe for one in self.local for probe in one.probes}
        left = {name: answer.misfits(self.rules) for name, answer in self.answers.items() if name not in explained}
        return {name: keys for name, keys in left.items() if keys}

    def told(self) -> tuple[Told, ...]:
        """Return every choice with its evidence."""
        return tuple(self._told(choice) for choice in choices())

    def _told(self, choice: str) -> Told:
        best = getattr(self.rules.dialect, choice)
        others = [option for option in options(choice) if option not in (UNDECLARED, best)]
        proofs = {option: self.proof(with_choice(self.rules, {choice: option})) for option in others}
        if not any(proofs.values()):
            return Told(choice, None, self._silence(choice))
        alike = [option for option, proof in proofs.items() if proof is None]
        apart = {option: proof for option, proof in proofs.items() if proof is not None}
        return Told(choice, " or ".join([best, *alike]), told_apart(best, apart))

    def proof(self, other: Rules) -> Proof | None:
        """Return a number that other rules predict otherwise than it was observed, and these do not."""
        for name, answer in self.answers.items():
            mine = set(answer.misfits(self.rules))
            for key in answer.misfits(other):
                if key not in mine:
                    return proof_at(name, answer, key, self.rules, other)
        return None

    def without(self, mistake: str) -> Rules:
        """Return the rules without one of the mistakes."""
        rules = Rules(dialect=self.rules.dialect)
        return apply([name for name in self.mistakes if name != mistake], rules)

    def shown(self, mistake: str) -> str:
        """Return a number that is predicted otherwise without one of the mistakes."""
        before = self.without(mistake)
        for name, answer in self.answers.items():
            if left := [key for key in answer.misfits(before) if key not in answer.misfits(self.rules)]:
                return effect(name, answer, left[0], self.rules, before)
        return ""

    def shown_in(self, local: Local) -> str:
        """Return for each probe of a local explanation a number that the general rules predict otherwise."""
        changed = apply(local.variants, self.rules)
        return "; ".join(
            effect(name, answer, answer.misfits(self.rules)[0], changed, self.rules)
            for name, answer in ((name, self.answers[name]) for name in local.probes)
        )

    def _silence(self, choice: str) -> str:
        answer = self.answers.get(_PROBE_OF.get(choice, "train"))
        if answer is None:
            return "not asked: the implementation lacks what the probe needs"
        raised = [one for one in answer.seen.outcomes.values() if isinstance(one, Raised)]
        if raised:
            return f"the probe raised {raised[0].type}: {raised[0].message.splitlines()[0][:100]}"
        if choice == "constants" and self.rules.computed_in != "own":
            return f"float64 input is computed in {self.rules.computed_in}: a constant that is rounded does not show"
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

    The choices are settled first; then, as long as something does not fit that is no probe of a particular place, the
    mistake that mends most is added and the choices are settled again. What is left is explained place by place.
    """
    found = Inference(answers)
    found.rules = _settled(answers, found.rules)
    general = {name: answer for name, answer in answers.items() if name not in PARTICULAR}
    for _ in range(_MOST):
        left = _count(general, found.rules)
        if not left:
            break
        mended = _mended(answers, general, found.rules, left)
        if mended is None:
            break
        found.rules, found.mistakes = mended[1], (*found.mistakes, mended[0])
    found.local = places(answers, found.rules)
    for one in found.local:
        if one.everywhere and not _misfits_of(answers, apply(one.variants, found.rules), one.probes):
            found.rules, found.mistakes = apply(one.variants, found.rules), (*found.mistakes, *one.variants)
            found.local = tuple(other for other in found.local if other is not one)
    return found


def _misfits_of(answers: Mapping[str, Answer], rules: Rules, probes: Sequence[str]) -> int:
    return sum(len(answers[name].misfits(rules)) for name in probes)


def _settled(answers: Mapping[str, Answer], rules: Rules) -> Rules:
    """Choose the best option of each choice, those together that show together, by the probes that are about them."""
    rules = _settled_together(answers, rules, ("update", "forward-alone", "train"))
    for choice in _ALONE:
        own = _PROBE_OF.get(choice, "train")
        about = _about(answers, (own, "update") if choice == "constants" else (own,))
        about = about or _about(answers, ("evaluate",) if choice == "constants" else ())
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


def _mended(
    answers: Mapping[str, Answer], general: Mapping[str, Answer], rules: Rules, left: int
) -> tuple[str, Rules] | None:
    """Return the mistake that leaves the fewest misfits, with the choices beside it; none if none mends any.

    The choices stay as they are; only if no mistake mends all of it, they are settled anew beside each, since they
    may have been settled wrongly while the mistake was not known.
    """
    variants = [VARIANTS[name] for name in named(choices=False)]
    variants = [*variants, *(one for one in VARIANTS.values() if one.choices and one.mistakes)]
    wrong = {name: answer for name, answer in general.items() if answer.misfits(rules)}
    kept = {one.name: one.applied_to(rules) for one in variants if one.changes(rules)}
    counted = {name: _count(wrong, changed) for name, changed in kept.items()}
    promising = sorted((name for name in counted if counted[name] < left), key=counted.__getitem__)
    promising = [name for name in promising if earned(general, rules, kept[name])]
    promising = _both_kinds(promising, kept, rules)
    best = _fewest(general, {name: _settled(answers, kept[name]) for name in promising})
    if best is not None and best[0] == 0:
        return best[1:]
    about = {_PROBE_OF[choice] for choice in _TOGETHER} & answers.keys() or {"forward-alone", "evaluate"}
    if wrong.keys() & about:
        anew = {name: _settled_together(answers, changed, sorted(about)) for name, changed in kept.items()}
        anew = {name: changed for name, changed in anew.items() if earned(general, rules, changed)}
        likely = sorted(anew, key=lambda name: _count(wrong, anew[name]))[:_TRIED]
        other = _fewest(general, {name: _settled(answers, anew[name]) for name in likely})
        best = min((one for one in (best, other) if one is not None), key=lambda one: one[0], default=None)
    return best[1:] if best is not None and best[0] < left else None


def _both_kinds(names: Sequence[str], candidates: Mapping[str, Rules], rules: Rules) -> list[str]:
    """Return the first of those that allow no more rounding than ``rules``, and the first of all."""
    sharp = [name for name in names if vague(candidates[name]) <= vague(rules)]
    return list(dict.fromkeys((*sharp[:_TRIED], *names[:2])))


def _fewest(answers: Mapping[str, Answer], candidates: Mapping[str, Rules]) -> tuple[int, str, Rules] | None:
    """Return the candidate with the fewest misfits.

    One that merely allows more rounding is taken where it leaves nothing, or where there is no other.
    """
    counted = {name: _count(answers, rules) for name, rules in candidates.items()}
    if not counted:
        return None
    name = min(counted, key=lambda one: (counted[one] > 0, vague(candidates[one]), counted[one]))
    return counted[name], name, candidates[name]


def with_choice(rules: Rules, changes: Mapping[str, str]) -> Rules:
    """Return ``rules`` with other options of their dialect."""
    typed: dict[str, Any] = dict(changes)
    return replace(rules, dialect=replace(rules.dialect, **typed))


def _count(answers: Mapping[str, Answer], rules: Rules) -> int:
    return sum(len(answer.misfits(rules)) for answer in answers.values())
