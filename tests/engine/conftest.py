"""What the tests of the engine share: two cases, and sessions that answer as the oracle does, without a host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.adapters.contract import Implementation
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.variants import apply
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.verdict.oracle import Question


@dataclass
class FakeSession:
    """Answers each case with the prediction under the named variants; ``fault`` is called or returned instead."""

    name: str = "fake"
    variants: tuple[str, ...] = ()
    unsupported: str | None = None
    fault: Any = None
    apart: Any = None
    dialect: Dialect = field(default_factory=Dialect)
    closed: bool = False
    aborted: bool = False
    ahead: list[str] = field(default_factory=list)

    @property
    def implementation(self) -> Implementation:
        return Implementation(name=self.name, versions={self.name: "1.0"})

    @property
    def adapter(self) -> str:
        return self.name

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        if self.fault is not None:
            seen: Observation | Crashed | Faulty = self.fault(case) if callable(self.fault) else self.fault
            return seen
        predicted = Question(case).predict(apply(self.variants, Rules(dialect=self.dialect)))
        outcomes = {
            key: np.asarray(one.value.astype(one.dtype)) for key, one in predicted.items() if isinstance(one, Expected)
        }
        return Observation(self.dialect, self.unsupported, outcomes, seconds=0.5)

    def ask_ahead(self, case: Case) -> None:
        self.ahead.append(case.id)

    def observe_apart(self, case: Case) -> Observation | Crashed | Faulty | None:
        seen: Observation | Crashed | Faulty | None = self.apart(case) if callable(self.apart) else self.apart
        return seen

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def session() -> Callable[..., FakeSession]:
    """Return the maker of fake sessions."""
    return FakeSession


@pytest.fixture
def cases() -> tuple[Case, ...]:
    """Return a training and an evaluating case."""
    common = {"fact": "The input is made up.", "shape": "5x3"}
    return (
        msgspec.convert({**common, "id": "made/train", "clauses": ["1.1"], "steps": [{"train": "a"}]}, Case),
        msgspec.convert({**common, "id": "made/evaluate", "clauses": ["5.1"], "steps": [{"evaluate": "a"}]}, Case),
    )
