"""What the tests of the verdict room share: small questions, and answers as the oracle would give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.variants import apply
from conformance.host.observation import Observation
from conformance.verdict.deviations import Deviation
from conformance.verdict.oracle import Question

_PLAIN = {
    "id": "made/up", "fact": "The input is made up.", "clauses": ["1.1"], "shape": "5x3", "dtype": "float64",
    "steps": [{"train": "a"}],
}  # fmt: skip


@pytest.fixture
def ask() -> Callable[..., Question]:
    """Return a maker of questions: one training step in float64, unless told otherwise."""

    def make(**changes: Any) -> Question:
        return Question(msgspec.convert({**_PLAIN, **changes}, Case))

    return make


@pytest.fixture
def answer() -> Callable[..., Observation]:
    """Return a maker of answers: the oracle's own values with the named variants, stored in their dtype."""

    def make(question: Question, *variants: str, dialect: Dialect | None = None, **others: Any) -> Observation:
        dialect = Dialect() if dialect is None else dialect
        predicted = question.predict(apply(variants, Rules(dialect=dialect)))
        outcomes = {
            key: np.asarray(one.value.astype(one.dtype)) for key, one in predicted.items() if isinstance(one, Expected)
        }
        return Observation(dialect, outcomes=outcomes, **others)

    return make


@pytest.fixture
def record() -> Callable[..., Deviation]:
    """Return a maker of records: gamma is ignored in the output, unless told otherwise."""

    def make(**changes: Any) -> Deviation:
        fields: dict[str, Any] = {
            "name": "no gamma", "implementation": "fake", "cases": ("made/up",), "quantities": ("y",),
            "variants": ("gamma ignored",), "reason": "Gamma is ignored.", "proof": "By hand.",
        }  # fmt: skip
        return Deviation(**{**fields, **changes})

    return make
