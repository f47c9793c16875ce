"""The dialect card: what was found of an implementation, each line with its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from conformance.adapters.contract import Defaults
from conformance.adapters.naming import Naming
from conformance.corpus.case import Case
from conformance.definition.dialect import options
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS, apply, option_name
from conformance.host.observation import Crashed, Faulty, Observation, Raised
from conformance.identify.answers import Answer
from conformance.identify.evidence import told_apart
from conformance.identify.infer import Inference, Told, infer, with_choice
from conformance.identify.places import Local
from conformance.identify.probes import EPSILONS, ESTIMATORS, FACTS, OPEN, PROBES, elsewhere
from conformance.verdict.group import describe
from conformance.verdict.oracle import Question

__all__ = ["Card", "Line", "identify"]


class Asked(Protocol):
    """What is asked: a host, or an adapter in this process."""

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        """Put the case and return what came back."""


@dataclass(frozen=True)
class Line:
    """One property, what was found of it, and by what numbers."""

    name: str
    found: str
    evidence: str


@dataclass(frozen=True)
class Card:
    """All lines; ``dialect`` has the option of each choice that was told, ``mistakes`` the variants that explain more.

    ``estimators`` is the estimator of the running variance by rank and dtype, ``local`` what explains single probes,
    ``unexplained`` the probes of which something is left, ``facts`` what was done in each probe that was answered.
    """

    dialect: Mapping[str, str]
    mistakes: tuple[str, ...]
    local: tuple[Local, ...]
    estimators: Mapping[tuple[int, str], str]
    unexplained: tuple[str, ...]
    lines: tuple[Line, ...]
    facts: Mapping[str, str]


def identify(asked: Asked, *, defaults: Defaults | None = None, naming: Naming | None = None) -> Card:
    """Ask the probes, and return what they tell.

    ``defaults`` are those of the implementation's own constructor, ``naming`` what it calls its momentum; both are
    known of some only.
    """
    answers, facts = {}, {}
    for name, case in PROBES.items():
        for one, where in ((case, ""), *elsewhere(case)):
            if (answer := _answer(asked, one)) is not None:
                answers[name], facts[name] = answer, f"{FACTS[name]}, {where}" if where else FACTS[name]
                break
    found = infer(answers)
    told = {one.choice: one for one in found.told()}
    estimators = {place: _estimator(asked, case, found) for place, case in ESTIMATORS.items()}
    lines = [
        _estimator_line(estimators, told["running_variance"]), _momentum(told["momentum"], naming),
        *(_line(told[choice], name) for choice, name in _NAMED.items()),
        _epsilon(found), _smallest(asked, found), _passes(found), *_dtypes(answers), *_opened(asked),
        _defaults(defaults), *_beyond(found),
    ]  # fmt: skip
    dialect = {name: one.option for name, one in told.items() if one.option is not None and " or " not in one.option}
    known = {place: option for place, option in estimators.items() if option}
    return Card(dialect, found.mistakes, found.local, known, tuple(found.unexplained), tuple(lines), facts)


#: The lines of the other choices.
_NAMED = {
    "train_statistics": "training normalises with", "first_update": "first update",
    "constants": "precision of epsilon and momentum", "frozen": "frozen class", "recomputation": "recomputation",
    "update_gradient": "update differentiable", "statistics_gradient": "gradient of the statistics",
    "untracked": "without running statistics", "state_dtype": "state of 16-bit parameters",
    "exported": "exported in train",
}  # fmt: skip


def _line(told: Told, name: str) -> Line:
    return Line(name, _with_meaning(told.choice, told.option), told.evidence)


def _with_meaning(choice: str, option: str | None) -> str:
    """Return an option with the sentence that says what it is."""
    if option is None:
        return "not told"
    variant = VARIANTS.get(option_name(choice, option))
    return option if variant is None else f"{option}. {variant.sentence}"


def _momentum(told: Told, naming: Naming | None) -> Line:
    """Tell what the momentum weighs: as the suite gives it, and in the implementation's own words if they are known."""
    if told.option is None or naming is None:
        return _line(told, "momentum")
    own = naming.momentum_weighs if told.option == "new" else {"new": "old", "old": "new"}[naming.momentum_weighs]
    words = {"new": "the new batch", "old": "the old state"}[own]
    given = f"the suite's weight of the batch is given to {naming.constructor} as {naming.momentum}"
    given += "" if naming.momentum_weighs == "new" else " = 1 - weight"
    return Line("momentum", f"{naming.momentum} weighs {words}", f"{given}; {told.evidence}")


def _defaults(defaults: Defaults | None) -> Line:
    if defaults is None:
        return Line("defaults", "not told", "the adapter has no method that reads them from the implementation")
    said = ", ".join(f"{name}={value}" for name, value in defaults.arguments.items())
    return Line("defaults", said or "none: every argument has to be given", f"read from {defaults.read_from}")


_QUESTIONS: dict[tuple[object, ...], Question] = {}


def _answer(asked: Asked, case: Case) -> Answer | None:
    """Ask; nothing where the implementation says that it lacks what is asked, or does not survive it."""
    seen = asked.observe(case)
    if not isinstance(seen, Observation) or seen.unsupported is not None:
        return None
    return Answer(_question(case), seen)


def _question(case: Case) -> Question:
    """Return the question of a probe; what is predicted of it once is there for the next implementation."""
    key = case.id, case.shape, case.dtype, case.steps
    if key not in _QUESTIONS:
        _QUESTIONS[key] = Question(case)
    return _QUESTIONS[key]


def _estimator(asked: Asked, case: Case, found: Inference) -> str:
    """Return the options that predict the running variance of one rank and dtype; empty if it cannot be asked."""
    answer = _answer(asked, case)
    if answer is None or any(isinstance(one, Raised) for one in answer.seen.outcomes.values()):
        return ""
    for rules in _from_the_start(found):
        changed = {option: with_choice(rules, {"running_variance": option}) for option in options("running_variance")}
        if fitting := [option for option, one in changed.items() if not answer.misfits(one)]:
            return " or ".join(fitting)
    return ""


def _from_the_start(found: Inference) -> Iterator[Rules]:
    """Yield the general rules, then those of the probes that start from the initial state, where they are others."""
    yield found.rules
    for one in found.local:
        if {"update", "forward-alone"} & {*one.probes}:
            yield apply(one.variants, found.rules)


def _estimator_line(estimators: Mapping[tuple[int, str], str], told: Told) -> Line:
    by_option: dict[str, list[tuple[int, str]]] = {}
    for place, option in estimators.items():
        if option:
            by_option.setdefault(option, []).append(place)
    if not by_option:
        return Line("running variance", _with_meaning("running_variance", told.option), told.evidence)
    if len(by_option) == 1:
        (option, places) = next(iter(by_option.items()))
        return Line("running variance", _with_meaning("running_variance", option),
                    f"{told.evidence}; the same for {_where(places)}")  # fmt: skip
    found = "; ".join(f"{option} for {_where(places)}" for option, places in by_option.items())
    return Line("running variance", found, told.evidence)


def _where(places: Sequence[tuple[int, str]]) -> str:
    """Return ranks and dtypes in words, the dtypes that have the same ranks together."""
    ranks: dict[tuple[int, ...], list[str]] = {}
    for dtype in dict.fromkeys(dtype for _, dtype in places):
        ranks.setdefault(tuple(rank for rank, one in places if one == dtype), []).append(dtype)
    return ", and ".join(
        f"{', '.join(dtypes)} of rank {', '.join(map(str, which))}" for which, dtypes in ranks.items()
    )


def _epsilon(found: Inference) -> Line:
    place = found.rules.epsilon
    said = {"inside": "inside the root", "outside": "outside the root", "missing": "not used"}.get(place, place)
    others = {option: found.proof(_placed(found.rules, option)) for option in ("inside", "outside", "missing")}
    apart = {option: proof for option, proof in others.items() if proof is not None}
    return Line("epsilon", said, told_apart(place, apart) if apart else "no probe tells")


def _placed(rules: Rules, place: str) -> Rules:
    changes: dict[str, Any] = {"epsilon": place}
    return replace(rules, **changes)


def _smallest(asked: Asked, found: Inference) -> Line:
    """Return the smallest epsilon that is used as it is given, on variances about as small."""
    used: dict[str, list[float]] = {}
    refused: list[str] = []
    for (epsilon, dtype), case in EPSILONS.items():
        wide = (one for one, _ in elsewhere(case) if one.dtype == dtype)
        answer = next(filter(None, (_answer(asked, one) for one in (case, *wide))), None)
        if answer is None:
            continue
        if any(isinstance(one, Raised) for one in answer.seen.outcomes.values()):
            refused.append(f"{epsilon:g} in {dtype}, which raises")
        elif not answer.misfits(found.rules):
            used.setdefault(dtype, []).append(epsilon)
        else:
            refused.append(f"{epsilon:g} in {dtype}: another one is used")
    least = {dtype: min(values) for dtype, values in used.items()}
    if not least:
        return Line("smallest effective epsilon", "not told", "no output on variances of 1e-12 is as predicted")
    said = ", ".join(f"{value:g} ({dtype})" for dtype, value in least.items())
    tried = f"outputs on a variance of about 1e-12 fit epsilons of {', '.join(f'{one:g}' for one in _tried())}"
    return Line("smallest effective epsilon", said, tried + (f", but not {', '.join(refused)}" if refused else ""))


def _tried() -> list[float]:
    return sorted({epsilon for epsilon, _ in EPSILONS}, reverse=True)


def _passes(found: Inference) -> Line:
    """Tell whether the variance is computed in one pass or in two, on a mean of 300 standard deviations."""
    answer = found.answers.get("offset")
    if answer is None:
        return Line("variance computed in", "not told", "the probe could not be asked")
    one_pass = VARIANTS["one-pass variance"].applied_to(found.rules)
    if found.rules.variance_algorithm == "one-pass" or answer.misfits(found.rules):
        fits = found.rules.variance_algorithm == "one-pass" or not answer.misfits(one_pass)
        error = answer.worst(Rules(dialect=found.rules.dialect))
        return Line("variance computed in", "one pass" if fits else "not told",
                    f"mean of 300 deviations: off by {error} what rounding allows in two passes")  # fmt: skip
    error = answer.worst(found.rules)
    return Line("variance computed in", "two passes", f"mean of 300 deviations: off by {error} what rounding allows")


def _dtypes(answers: Mapping[str, Answer]) -> list[Line]:
    """Return the dtype of the state by that of the input."""
    seen = {}
    for name in ("forward-alone", "update", "float16", "bfloat16", "own-state"):
        answer = answers.get(name)
        array = None if answer is None else answer.seen.outcomes.get((1, "running_var"))
        if answer is not None and isinstance(array, np.ndarray):
            dtype = answer.question.case.dtype
            seen[f"{dtype}, made by the layer" if name == "own-state" else dtype] = array.dtype.name
    said = ", ".join(f"{kept} for {dtype}" for dtype, kept in seen.items())
    return [Line("state dtype", said or "not told", "dtype of the running variance after one step")]


def _opened(asked: Asked) -> list[Line]:
    lines = []
    for name, narrow in OPEN.items():
        for case in (narrow, *(one for one, _ in elsewhere(narrow))):
            seen = asked.observe(case)
            if not isinstance(seen, Observation) or seen.unsupported is None:
                break
        if isinstance(seen, Observation):
            found, why = describe(Question(case), seen), seen.unsupported or f"input of shape {case.shape}"
        else:
            found, why = "the host ended", seen.reason
        lines.append(Line(name, found, why))
    return lines


def _beyond(found: Inference) -> list[Line]:
    lines = [
        Line("beyond the choices", name, f"{VARIANTS[name].sentence} {found.shown(name)}") for name in found.mistakes
    ]
    for one in found.local:
        sentences = " ".join(VARIANTS[name].sentence for name in one.variants)
        lines.append(Line("in some probes only", " + ".join(one.variants), f"{sentences} {found.shown_in(one)}"))
    for name, keys in found.unexplained.items():
        places = ", ".join(f"{quantity} (step {step})" for step, quantity in keys)
        lines.append(Line(f"unexplained in probe {name}", places, _why(found, name)))
    return lines


def _why(found: Inference, name: str) -> str:
    """Return what is known of a probe that nothing explains: the error that it ended in, or how far it is off."""
    answer = found.answers[name]
    raised = next((one for one in answer.seen.outcomes.values() if isinstance(one, Raised)), None)
    if raised is not None:
        return f"it raised {raised.type}: {raised.message.splitlines()[0][:100] if raised.message else ''}"
    return f"no choice and no named mistake predicts it; it is off by {answer.worst(found.rules)} what rounding allows"
