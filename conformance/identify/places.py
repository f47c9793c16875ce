"""Mistakes that show in some probes only: with 16-bit input, say, or where the layer starts from its own state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.definition.precision import HALVES
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS, Variant
from conformance.identify.answers import Answer, earned, vague

__all__ = ["Local", "places"]

#: How many mistakes are sought together in one probe.
_MOST = 3
#: Of how many candidates a further mistake is sought beside.
_TRIED = 4

Names = tuple[str, ...]


@dataclass(frozen=True)
class Local:
    """Variants that together account for all that some probes show, beside the general rules.

    ``everywhere`` tells whether they predict all other probes, too, with no more rounding than the general rules.
    """

    variants: Names
    probes: tuple[str, ...]
    everywhere: bool


def places(answers: Mapping[str, Answer], rules: Rules) -> tuple[Local, ...]:
    """Explain each probe that ``rules`` do not predict, by as few variants as will do, the same for several probes.

    Of several explanations that is taken which is wrong of fewest other probes. One that merely allows more rounding
    is looked for where there is no other.
    """
    left = [name for name, answer in answers.items() if answer.misfits(rules)]
    others = [answer for name, answer in answers.items() if name not in left]
    able = {name: _candidates(answers[name], rules, others) for name in left}
    broken = {names: _broken(others, names, rules) for candidates in able.values() for names in candidates}
    found: list[Local] = []
    while any(able.values()):
        best = min(broken, key=lambda names: (
            not any(names in candidates for candidates in able.values()), broken[names],
            -sum(names in candidates for candidates in able.values()),
        ))  # fmt: skip
        explained = tuple(name for name in able if best in able[name])
        sharp = vague(_applied(best, rules)) <= vague(rules)
        found.append(Local(best, explained, everywhere=sharp and not broken[best]))
        able = {name: candidates for name, candidates in able.items() if name not in explained}
    return tuple(found)


def _candidates(answer: Answer, rules: Rules, others: Sequence[Answer]) -> list[Names]:
    """Return the sets of variants that leave nothing of one probe: those that allow no more rounding, if there are any.

    With 16 bits a wrong formula may fit by chance. One that every probe of more bits contradicts is no explanation as
    long as a poorer precision may be one.
    """
    sharp = _able(answer, rules, sharp=True)
    contradicted = answer.question.case.dtype in HALVES and all(_broken(others, names, rules) for names in sharp)
    return sharp if sharp and not contradicted else sharp + _able(answer, rules, sharp=False)


def _broken(others: Sequence[Answer], names: Names, rules: Rules) -> int:
    """Return how much would misfit of the probes that are predicted already."""
    changed = _applied(names, rules)
    return sum(len(answer.misfits(changed)) for answer in others)


def _able(answer: Answer, rules: Rules, *, sharp: bool) -> list[Names]:
    """Return the smallest sets of variants that leave nothing of one probe.

    Each further variant is sought beside the few that mend most. If ``sharp``, none may allow more rounding.
    """
    beside: dict[Names, int] = {(): len(answer.misfits(rules))}
    for _ in range(_MOST):
        counted = {
            (*names, name): misfits for names, before in beside.items()
            for name, misfits in _mending(answer, _applied(names, rules), sharp=sharp) if misfits < before
        }  # fmt: skip
        if done := [names for names, misfits in counted.items() if not misfits]:
            return done
        beside = dict(sorted(counted.items(), key=lambda one: one[1])[:_TRIED])
    return []


def _mending(answer: Answer, base: Rules, *, sharp: bool) -> Iterator[tuple[str, int]]:
    """Yield each variant that may be added to ``base``, and how much misfits then."""
    for name, variant in VARIANTS.items():
        if not variant.changes(base) or _of_another_dtype(variant, answer):
            continue
        changed = variant.applied_to(base)
        if vague(changed) > vague(base) if sharp else not earned({"": answer}, base, changed):
            continue
        yield name, len(answer.misfits(changed))


def _of_another_dtype(variant: Variant, answer: Answer) -> bool:
    """Tell whether a variant computes in 16 bits of which the probe has none: its wide bounds explain too much."""
    case = answer.question.case
    return bool({*variant.mistakes.values()} & {*HALVES} - {case.dtype, case.param_dtype})


def _applied(names: Sequence[str], rules: Rules) -> Rules:
    for name in names:
        rules = VARIANTS[name].applied_to(rules)
    return rules
