"""The numbers by which one prediction is told from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from conformance.definition.prediction import Expected, Key, Predicted, Refused
from conformance.definition.rules import Rules
from conformance.host.observation import Raised
from conformance.identify.answers import Answer

__all__ = ["Proof", "effect", "proof_at", "told_apart"]

#: Digits that are shown, and those where two numbers are alike in so few.
_DIGITS, _ALL_DIGITS = 7, 17


@dataclass(frozen=True)
class Proof:
    """One number: where it was seen, and what the rules that fit and the others predict there."""

    place: str
    seen: str
    mine: str
    other: str


def told_apart(best: str, others: Mapping[str, Proof]) -> str:
    """Return in words by which numbers the option ``best`` is told from each of the others."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for option, proof in others.items():
        places.setdefault((proof.place, proof.seen, proof.mine), []).append(f"{option} {proof.other}")
    return "; ".join(
        f"{place} is {seen}; predicted: {best} {mine}, {', '.join(rest)}"
        for (place, seen, mine), rest in places.items()
    )


def effect(name: str, answer: Answer, key: Key, changed: Rules, base: Rules) -> str:
    """Return in words what ``changed`` rules account for: another value, or more rounding than ``base`` allows."""
    proof = proof_at(name, answer, key, changed, base)
    if proof.mine != proof.other:
        return f"{proof.place} is {proof.seen}; predicted: so {proof.mine}, otherwise {proof.other}"
    return f"{proof.place} is {proof.seen}; predicted: {proof.mine}, off by {answer.worst(base)} what rounding allows"


def proof_at(name: str, answer: Answer, key: Key, mine: Rules, other: Rules) -> Proof:
    """Return what was seen of one quantity, and both predictions, at the element where these differ most."""
    number, quantity = key
    place = f"{'the outcome' if quantity == 'outcome' else quantity} of probe {name}, step {number},"
    return Proof(place, *_numbers(answer, key, mine, other))


def _numbers(answer: Answer, key: Key, mine: Rules, other: Rules) -> tuple[str, str, str]:
    seen = answer.seen.outcomes.get(key)
    ours, theirs = (answer.question.predict(rules).get(key) for rules in (mine, other))
    if isinstance(seen, Raised):
        return f"an error, {seen.type}", _short(ours), _short(theirs)
    if seen is None or not isinstance(ours, Expected) or not isinstance(theirs, Expected):
        refused = isinstance(answer.question.predict(other).get((key[0], "outcome")), Refused)
        return "an answer", "an answer", "an error" if refused else _short(theirs)
    if seen.dtype.name != theirs.dtype:
        return seen.dtype.name, ours.dtype, theirs.dtype
    if seen.shape != ours.value.shape or seen.shape != theirs.value.shape:
        return f"of shape {seen.shape}", str(ours.value.shape), str(theirs.value.shape)
    gap = np.abs((ours.value - theirs.value).astype(np.float64)).reshape(-1)
    at = int(np.argmax(np.where(np.isnan(gap), np.inf, gap)))
    values = [float(array.astype(np.float64).reshape(-1)[at]) for array in (seen, ours.value, theirs.value)]
    alike = f"{values[1]:.{_DIGITS}g}" == f"{values[2]:.{_DIGITS}g}"
    first, second, third = (f"{value:.{_ALL_DIGITS if alike else _DIGITS}g}" for value in values)
    return first, second, third


def _short(predicted: Predicted | None) -> str:
    return "an error" if isinstance(predicted, Refused) else "an answer"
