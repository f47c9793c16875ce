"""What was observed of a cell against every variant of the oracle, nearest first, in words and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.definition.network import simulate_network
from conformance.definition.prediction import Expected, Key, Prediction
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS
from conformance.host.observation import Outcome, Raised
from conformance.verdict.compare import apart, distance
from conformance.verdict.oracle import Question

__all__ = ["Near", "compared", "words"]

#: So many of the nearest variants are named for each quantity.
_NAMED = 5


@dataclass(frozen=True)
class Near:
    """One prediction of a quantity: whose, its value where the two differ most, and how far the observed is off.

    ``off`` is in tight bounds of what was declared.
    """

    name: str
    sentence: str
    off: float
    value: str


@dataclass(frozen=True)
class Compared:
    """A quantity as it was observed at the element in question, and the predictions, nearest first.

    ``layer`` says of a network's state which of its batch norms it is.
    """

    key: Key
    observed: str
    at: tuple[int, ...]
    near: tuple[Near, ...]
    alike: int
    layer: str = ""


def compared(question: Question, dialect: Dialect, outcomes: Mapping[Key, Outcome]) -> Iterator[Compared]:
    """Yield each array that was observed and predicted, with the declared dialect and every variant that changes it."""
    base = Rules(dialect=dialect)
    declared = question.predict(base)
    variants = {name: _predicted(question, one.applied_to(base)) for name, one in VARIANTS.items() if one.changes(base)}
    for key, seen in outcomes.items():
        expected = declared.get(key)
        if isinstance(seen, Raised) or not isinstance(expected, Expected) or not seen.size:
            continue
        at = _worst(seen, expected)
        own = Near("as declared", "", distance(expected, seen, expected.tight), _value(expected.value, at))
        near, alike = [own], 0
        for name, predicted in variants.items():
            other = predicted.get(key)
            if not isinstance(other, Expected) or not apart(expected, other):
                alike += 1
                continue
            off = distance(other, seen, expected.tight)
            near.append(Near(name, VARIANTS[name].sentence, off, _value(other.value, at)))
        near.sort(key=lambda one: one.off)
        yield Compared(key, _value(seen, at), at, tuple(near), alike, _layer(question.case, key, at))


def _predicted(question: Question, rules: Rules) -> Prediction:
    """Return what a variant predicts; of a network without bounds, whose measuring would take most of the time."""
    if question.case.network is None:
        return question.predict(rules)
    return simulate_network(question.case, question.arrays, rules, measured=False)


def words(found: Compared, *, everything: bool = False) -> str:
    """Return a paragraph: what was observed, and who predicts that, nearest first."""
    shown = found.near if everything else found.near[:_NAMED]
    lines = [f"step {found.key[0]}, {found.key[1]} at {list(found.at)}{found.layer}: observed {found.observed}"]
    lines += [
        f"    {one.value:>14}  {one.name}, {_off(one.off)}{'. ' + one.sentence if one.sentence else ''}"
        for one in shown
    ]
    left = len(found.near) - len(shown)
    beside = [f"{left} variants are farther off" if left else "", f"{found.alike} predict the same here"]
    return "\n".join([*lines, f"    {'; '.join(filter(None, beside))}"])


def _layer(case: Case, key: Key, at: tuple[int, ...]) -> str:
    if case.network is None or not key[1].startswith("running"):
        return ""
    return f" (batch norm {at[0] // case.network.width + 1} of {case.network.blocks})"


def _off(off: float) -> str:
    if off <= 1:
        return f"{off:.2g} of the bound: fits"
    return f"{off:.3g} bounds off" if np.isfinite(off) else "of another shape or dtype, or infinitely far"


def _worst(seen: NDArray[Any], expected: Expected) -> tuple[int, ...]:
    if seen.shape != expected.value.shape:
        return (0,) * seen.ndim
    with np.errstate(all="ignore"):
        gap = np.abs(seen.astype(np.float64) - expected.value.astype(np.float64)) / np.maximum(expected.tight, 1e-300)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape))


def _value(array: NDArray[Any], at: tuple[int, ...]) -> str:
    return f"{float(array[at]):.7g}" if len(at) == array.ndim and all(
        k < n for k, n in zip(at, array.shape, strict=True)) else f"shape {array.shape}"  # fmt: skip
