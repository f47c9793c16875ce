"""The dialect card: what was found of an implementation, each line with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from conformance.corpus.case import Case
from conformance.definition.dialect import options
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS
from conformance.host.observation import Crashed, Faulty, Observation, Raised
from conformance.identify.infer import Answer, Inference, infer, with_choice
from conformance.identify.probes import EPSILONS, ESTIMATORS, OPEN, PROBES
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

    ``estimators`` is the estimator of the running variance by rank and dtype.
    """

    dialect: Mapping[str, str]
    mistakes: tuple[str, ...]
    estimators: Mapping[tuple[int, str], str]
    lines: tuple[Line, ...]


def identify(asked: Asked) -> Card:
    """Ask the probes, and return what they tell."""
    answers = {name: answer for name, case in PROBES.items() if (answer := _answer(asked, case)) is not None}
    found = infer(answers)
    told = {one.choice: one for one in found.told()}
    estimators = {place: _estimator(asked, case, found) for place, case in ESTIMATORS.items()}
    lines = [
        Line(choice.replace("_", " "), one.option or "not told", one.evidence)
        for choice, one in told.items() if choice != "running_variance"
    ]  # fmt: skip
    lines.insert(0, _estimator_line(estimators, told["running_variance"].evidence))
    lines += [_epsilon(found), _smallest(asked, found), _passes(found), *_dtypes(answers), *_opened(asked)]
    lines += _beyond(found)
    dialect = {name: one.option for name, one in told.items() if one.option is not None and " or " not in one.option}
    known = {place: option for place, option in estimators.items() if option}
    return Card(dialect, found.mistakes, known, tuple(lines))


def _answer(asked: Asked, case: Case) -> Answer | None:
    """Ask; nothing where the implementation says that it lacks what is asked, or does not survive it."""
    seen = asked.observe(case)
    if not isinstance(seen, Observation) or seen.unsupported is not None:
        return None
    return Answer(Question(case), seen)


def _estimator(asked: Asked, case: Case, found: Inference) -> str:
    """Return the options that predict the running variance of one rank and dtype; empty if it cannot be asked."""
    answer = _answer(asked, case)
    if answer is None or any(isinstance(one, Raised) for one in answer.seen.outcomes.values()):
        return ""
    fitting = [
        option
        for option in options("running_variance")
        if not answer.misfits(with_choice(found.rules, {"running_variance": option}))
    ]
    return " or ".join(fitting)


def _estimator_line(estimators: Mapping[tuple[int, str], str], evidence: str) -> Line:
    by_option: dict[str, list[str]] = {}
    for (rank, dtype), option in estimators.items():
        if option:
            by_option.setdefault(option, []).append(f"{dtype} of rank {rank}")
    if len(by_option) == 1:
        asked = [dtype for dtype in dict.fromkeys(dtype for _, dtype in estimators) if
                 any(option for (_, one), option in estimators.items() if one == dtype)]  # fmt: skip
        ranks = sorted({rank for (rank, _), option in estimators.items() if option})
        where = f"; the same for {', '.join(asked)} and ranks {', '.join(map(str, ranks))}"
        return Line("running variance", next(iter(by_option)), evidence + where)
    found = "; ".join(f"{option} for {', '.join(places)}" for option, places in by_option.items())
    return Line("running variance", found or "not told", evidence)


def _epsilon(found: Inference) -> Line:
    place = found.rules.epsilon
    said = {"inside": "inside the root", "outside": "outside the root", "missing": "not used"}.get(place, place)
    others = {option: found.proof(_placed(found.rules, option)) for option in ("inside", "outside", "missing")}
    evidence = "; ".join(f"were it {option}: {proof}" for option, proof in others.items() if proof)
    return Line("epsilon", said, evidence or "no probe tells")


def _placed(rules: Rules, place: str) -> Rules:
    changes: dict[str, Any] = {"epsilon": place}
    return replace(rules, **changes)


def _smallest(asked: Asked, found: Inference) -> Line:
    """Return the smallest epsilon that is used as it is given, on variances about as small."""
    used: dict[str, list[float]] = {}
    refused: list[str] = []
    for (epsilon, dtype), case in EPSILONS.items():
        answer = _answer(asked, case)
        if answer is None or any(isinstance(one, Raised) for one in answer.seen.outcomes.values()):
            refused.append(f"{epsilon:g} in {dtype}")
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
                    f"mean of 300 deviations: {error} of what rounding allows in two passes")  # fmt: skip
    error = answer.worst(found.rules)
    return Line("variance computed in", "two passes", f"mean of 300 deviations: {error} of what rounding allows")


def _dtypes(answers: Mapping[str, Answer]) -> list[Line]:
    """Return the dtype of the state by that of the input."""
    seen = {}
    for name, dtype in (("forward-alone", "float32"), ("update", "float64"), ("float16", "float16"),
                        ("bfloat16", "bfloat16"), ("own-state", "float64, made by the layer")):  # fmt: skip
        answer = answers.get(name)
        array = None if answer is None else answer.seen.outcomes.get((1, "running_var"))
        if isinstance(array, np.ndarray):
            seen[dtype] = array.dtype.name
    said = ", ".join(f"{kept} for {dtype}" for dtype, kept in seen.items())
    return [Line("state dtype", said or "not told", "dtype of the running variance after one step")]


def _opened(asked: Asked) -> list[Line]:
    lines = []
    for name, case in OPEN.items():
        seen = asked.observe(case)
        if isinstance(seen, Observation):
            found, why = describe(Question(case), seen), seen.unsupported or f"input of shape {case.shape}"
        else:
            found, why = "the host ended", seen.reason
        lines.append(Line(name, found, why))
    return lines


def _beyond(found: Inference) -> list[Line]:
    lines = [Line("beyond the choices", name, VARIANTS[name].sentence) for name in found.mistakes]
    for name, keys in found.unexplained.items():
        places = ", ".join(f"{quantity} (step {step})" for step, quantity in keys)
        why = f"no choice and no named mistake predicts it; {found.answers[name].worst(found.rules)} of the bound"
        lines.append(Line(f"unexplained in probe {name}", places, why))
    return lines

