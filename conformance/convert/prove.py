"""A conversion proved: one case put to both sides, whose answers agree before training, and part as predicted after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.convert.effects import proving_case
from conformance.convert.recipe import Recipe
from conformance.corpus.case import Case
from conformance.definition.prediction import Expected, Key, Predicted
from conformance.definition.rules import Rules
from conformance.host.observation import Observation, Outcome, Raised
from conformance.verdict.compare import Comparison, Mismatch, compare
from conformance.verdict.oracle import Question

__all__ = ["Proof", "case_of", "prove"]


@dataclass(frozen=True)
class Proof:
    """One quantity on both sides: how far they are apart, how far predicted, and whether each is as predicted.

    ``allowed`` is what rounding may add to the distance.
    """

    step: int
    said: str
    name: str
    apart: float
    predicted: float
    allowed: float
    fits: bool


_SAID = ("evaluated as carried over", "trained once", "trained twice", "trained three times", "evaluated then")


def case_of(recipe: Recipe, spatial: str = "") -> Case:
    """Return the case: the state carried over is evaluated, trained for three steps and evaluated again.

    ``spatial`` adds dimensions to the input, such as ``x1x1``.
    """
    return proving_case(
        f"convert/{recipe.source}-to-{recipe.target}", momentum=recipe.momentum, epsilon=recipe.epsilon,
        channels=recipe.channels or 3, n=recipe.n, spatial=spatial,
    )  # fmt: skip


def prove(question: Question, one: Observation, other: Observation) -> Iterator[Proof]:
    """Yield every quantity that either side gave; one that the other lacks, or has in another shape, does not fit."""
    predictions = [question.predict(Rules(dialect=side.dialect)) for side in (one, other)]
    for key in sorted(one.outcomes.keys() | other.outcomes.keys()):
        sides = [side.outcomes.get(key) for side in (one, other)]
        expected = [prediction.get(key) for prediction in predictions]
        yield _proved(key, sides, expected)


def _proved(key: Key, sides: Sequence[Outcome | None], expected: Sequence[Predicted | None]) -> Proof:
    said = _SAID[key[0] - 1] if key[0] else "built"
    failed = next((side for side in sides if side is None or isinstance(side, Raised)), False)
    first, second = expected
    if failed is not False or not isinstance(first, Expected) or not isinstance(second, Expected):
        why = f"{failed.type}: {failed.message}" if isinstance(failed, Raised) else "missing"
        return Proof(key[0], said, f"{key[1]}, {why}", float("inf"), 0.0, 0.0, fits=False)
    arrays = [np.asarray(side) for side in sides]
    compared = [compare(array, one) for array, one in zip(arrays, (first, second), strict=True)]
    odd = next((one.reason for one in compared if isinstance(one, Mismatch)), None)
    if odd is not None:
        return Proof(key[0], said, f"{key[1]}, {odd}", float("inf"), 0.0, 0.0, fits=False)
    fits = all(isinstance(one, Comparison) and one.plain for one in compared)
    gap = float(np.abs(arrays[0].astype(np.float64) - arrays[1].astype(np.float64)).max())
    predicted = float(np.abs((first.value - second.value).astype(np.float64)).max())
    return Proof(key[0], said, key[1], gap, predicted, float((first.plain + second.plain).max()), fits)
