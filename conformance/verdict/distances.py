"""Quantities that follow from what was observed: how far an output is from another one, and from a target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from conformance.definition.prediction import Key
from conformance.host.observation import Observation, Raised
from conformance.verdict.compare import Array
from conformance.verdict.oracle import Question

__all__ = ["with_distances"]


def with_distances(question: Question, observation: Observation) -> Observation:
    """Return the observation with ``mse`` and ``loss`` of each step that asks for them, shape ``(1,)``, float64.

    A step lacks them where one of the outputs is missing or of another shape.
    """
    found = dict(_distances(question, observation)) if question.measured else {}
    return replace(observation, outcomes={**observation.outcomes, **found}) if found else observation


def _distances(question: Question, observation: Observation) -> Iterator[tuple[Key, Array]]:
    named = {step.name: number for number, step in enumerate(question.case.program, start=1)}
    for number, step in enumerate(question.case.program, start=1):
        y = observation.outcomes.get((number, "y"))
        others = {
            "mse": None if step.against is None else observation.outcomes.get((named[step.against], "y")),
            "loss": None if step.target is None else question.arrays[f"x:{step.target}"],
        }
        for name, other in others.items():
            if y is None or other is None or isinstance(y, Raised) or isinstance(other, Raised):
                continue
            if y.shape == other.shape:
                yield (number, name), _mean_square(y, other)


def _mean_square(one: Array, other: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        distance = one.astype(np.float64) - other.astype(np.float64)
        return np.asarray([np.mean(distance * distance)])
