"""The search: cases are drawn and judged until one fails, which is then shrunk to a minimal one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hypothesis import HealthCheck, Phase, given, seed, settings

from conformance.adapters.contract import Adapter, Implementation
from conformance.corpus.case import Case
from conformance.errors import CaseError
from conformance.fuzz.cases import cases
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.results.rows import FAILING, QuantityRow, Verdict, worst
from conformance.trial.mutants import observe
from conformance.verdict.deviations import Deviation
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

__all__ = ["BLOCK", "Direct", "Fuzzed", "Witness", "search"]

#: Cases are drawn in blocks of so many, each from a seed of its own: what Hypothesis remembers of a
#: search grows with it. A block is also what a worker of a cluster takes.
BLOCK = 1000


class Asked(Protocol):
    """Who is asked: a host session, or an adapter in this process."""

    @property
    def implementation(self) -> Implementation:
        """Return who it is."""

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        """Put the case and return what came back."""


@dataclass(frozen=True)
class Direct:
    """An adapter in this process, asked without encoding anything: quick."""

    adapter: Adapter

    @property
    def implementation(self) -> Implementation:
        """Return who it is."""
        return self.adapter.describe()

    def observe(self, case: Case) -> Observation:
        """Put the case."""
        return observe(self.adapter, Question(case))


@dataclass(frozen=True)
class Witness:
    """A case that fails, with its verdict, why, and the clauses of what fails."""

    case: Case
    verdict: Verdict
    explanation: str
    clauses: tuple[str, ...]


@dataclass
class Fuzzed:
    """What came of a search: how many cases were judged, what they were, and the minimal failing one."""

    examples: int = 0
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    witness: Witness | None = None


class _Failing(Exception):  # noqa: N818  (it ends a search, and nobody sees it)
    """A case failed."""


class _TimeIsUp(BaseException):
    """The search has taken as long as it may."""


def search(
    asked: Asked, *, examples: int, seconds: float = float("inf"), start: int = 0, first: int = 0,
    deviations: Sequence[Deviation] = (), shrinking: bool = True, progress: Callable[[Fuzzed], None] = lambda _: None,
) -> Fuzzed:  # fmt: skip
    """Judge drawn cases, up to so many or for so long, and stop at the first that fails, shrunk.

    What the recorded deviations of the implementation explain is counted, and passed over. ``start`` is the seed:
    the same one draws the same cases; ``first`` is the block of it to begin with.

    Raises:
        AdapterError: the implementation cannot be started.
    """
    run = _Search(asked, time.monotonic() + seconds, deviations)
    began = time.monotonic()
    block = first
    while run.result.examples < examples and run.failing is None and time.monotonic() < run.deadline:
        run.block(min(BLOCK, examples - run.result.examples), f"{start}:{block}", shrinking=shrinking)
        block += 1
        progress(run.result)
    run.result.seconds = time.monotonic() - began
    if run.failing is not None:
        run.result.witness = run.told(run.failing)
    return run.result


class _Search:
    def __init__(self, asked: Asked, deadline: float, deviations: Sequence[Deviation]) -> None:
        self.asked, self.deadline, self.result = asked, deadline, Fuzzed()
        who = asked.implementation
        version = next(iter(who.versions.values()), "0")
        self.records = tuple(
            one for one in deviations if one.concerns_implementation(who.name, version, who.execution)
        )
        self.failing: Case | None = None

    def block(self, examples: int, name: str, *, shrinking: bool) -> None:
        """Judge one block; a failing case of it, the smallest that was found, is in ``failing``."""
        phases = (Phase.generate, Phase.shrink) if shrinking else (Phase.generate,)
        before = self.result.examples

        @seed(name)
        @settings(
            max_examples=examples, phases=phases, database=None, deadline=None, print_blob=False,
            report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(cases())
        def judged(case: Case) -> None:
            if time.monotonic() > self.deadline:
                raise _TimeIsUp
            if self.fails(case):
                self.failing = case
                raise _Failing

        try:
            judged()
        except (_Failing, _TimeIsUp):
            return
        # Where few cases are left to draw Hypothesis stops early: what it passed over counts as drawn.
        self.result.examples = max(self.result.examples, before + examples)

    def fails(self, case: Case) -> bool:
        """Tell whether the case fails beyond what is recorded."""
        try:
            question = Question(case)
        except CaseError:  # a value overflows the dtype
            return False
        if self.failing is None:
            self.result.examples += 1
        seen = self.asked.observe(case)
        if not isinstance(seen, Observation):
            self.result.verdicts["crashed" if isinstance(seen, Crashed) else "void"] += 1
            return True
        if seen.unsupported is not None:
            self.result.verdicts["unsupported"] += 1
            return False
        try:
            rows = judge(question, seen, explaining=False)
        except Exception:  # noqa: BLE001  the suite's own fault is shrunk, and told, like any other
            self.result.verdicts["void"] += 1
            return True
        if any(row.verdict == "unsupported" for row in rows):  # later steps went on from what was not done
            self.result.verdicts["unsupported"] += 1
            return False
        self.result.verdicts[worst([row.verdict for row in rows])] += 1
        failing = _failing(rows)
        if failing and self.records:
            excused = failing - _failing(judge(question, seen, self.records, explaining=False))
            failing -= excused
            if excused and not failing:
                self.result.known["recorded deviations"] += 1
        return bool(failing)

    def told(self, case: Case) -> Witness:
        """Ask the minimal case once more, and say what is wrong with the answer."""
        seen = self.asked.observe(case)
        if isinstance(seen, Crashed):
            return Witness(case, "crashed", seen.reason, ("1.1",))
        if isinstance(seen, Faulty):
            return Witness(case, "void", seen.reason, ("1.1",))
        try:
            rows = [row for row in judge(Question(case), seen) if row.verdict in FAILING]
        except Exception as error:  # noqa: BLE001
            return Witness(case, "void", f"the suite failed to judge: {type(error).__name__}: {error}", ("1.1",))
        if not rows:
            return Witness(case, "differs", "flaky: the same case agrees when it is asked again", ("1.1",))
        why = "; ".join(f"{row.name} (step {row.step}): {row.explanation or row.verdict}" for row in rows)
        clauses = tuple(dict.fromkeys(row.clause for row in rows))
        return Witness(case, worst([row.verdict for row in rows]), why, clauses)


def _failing(rows: Sequence[QuantityRow]) -> set[tuple[int, str]]:
    return {(row.step, row.name) for row in rows if row.verdict in FAILING}
