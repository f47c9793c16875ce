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
from conformance.host.session import HostSession
from conformance.results.rows import FAILING, QuantityRow, Verdict, worst
from conformance.trial.mutants import observe
from conformance.verdict.deviations import Deviation
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

__all__ = ["BLOCK", "Direct", "Fuzzed", "Hosted", "Witness", "search"]

#: Cases are drawn in blocks of so many, each from a seed of its own: what Hypothesis remembers of a
#: search grows with it. A block is also what a worker of a cluster takes.
BLOCK = 1000


class Asked(Protocol):
    """Who is asked: a host, or an adapter in this process."""

    @property
    def implementation(self) -> Implementation:
        """Return who it is."""

    def answer(self, question: Question) -> Observation | Crashed | Faulty:
        """Put the case and return what came back."""


@dataclass(frozen=True)
class Hosted:
    """An adapter in a host of its own."""

    session: HostSession

    @property
    def implementation(self) -> Implementation:
        """Return who it is; starts the host the first time."""
        return self.session.implementation

    def answer(self, question: Question) -> Observation | Crashed | Faulty:
        """Put the case, however many have crashed: the smallest that does is looked for."""
        self.session.forgive()
        return self.session.observe(question.case)


@dataclass(frozen=True)
class Direct:
    """An adapter in this process, asked without encoding anything: quick."""

    adapter: Adapter

    @property
    def implementation(self) -> Implementation:
        """Return who it is."""
        return self.adapter.describe()

    def answer(self, question: Question) -> Observation:
        """Put the case."""
        return observe(self.adapter, question)


@dataclass(frozen=True)
class Witness:
    """A case that fails, by whom, its verdict, why, and the clauses of what fails."""

    case: Case
    verdict: Verdict
    explanation: str
    clauses: tuple[str, ...]
    implementation: str


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
    *asked: Asked, examples: int, seconds: float = float("inf"), start: int = 0, first: int = 0,
    deviations: Sequence[Deviation] = (), shrinking: bool = True, progress: Callable[[Fuzzed], None] = lambda _: None,
) -> Fuzzed:  # fmt: skip
    """Judge drawn cases, up to so many or for so long, and stop at the first that fails, shrunk.

    Each is put to everybody who is asked. What the recorded deviations of an implementation explain is counted, and
    passed over. ``start`` is the seed: the same one draws the same cases; ``first`` is the block of it to begin with.

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
        run.result.witness = _told(*run.failing)
    return run.result


class _Search:
    def __init__(self, asked: Sequence[Asked], deadline: float, deviations: Sequence[Deviation]) -> None:
        self.asked, self.deadline, self.result = asked, deadline, Fuzzed()
        self.records = [_concerning(one.implementation, deviations) for one in asked]
        self.failing: tuple[Asked, Case] | None = None

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
            accusing = self.accusing(case)
            if accusing is not None:
                self.failing = accusing, case
                raise _Failing

        try:
            judged()
        except (_Failing, _TimeIsUp):
            return
        except KeyboardInterrupt:
            if self.failing is None:
                raise
            return  # who has seen enough of the shrinking is told what there is
        # Where few cases are left to draw Hypothesis stops early: what it passed over counts as drawn.
        self.result.examples = max(self.result.examples, before + examples)

    def accusing(self, case: Case) -> Asked | None:
        """Return the first of those asked who fails the case beyond what is recorded."""
        try:
            question = Question(case)
        except CaseError:  # a value overflows the dtype
            return None
        if self.failing is None:
            self.result.examples += 1
        asked = zip(self.asked, self.records, strict=True)
        return next((one for one, records in asked if self.fails(one, records, question)), None)

    def fails(self, asked: Asked, records: tuple[Deviation, ...], question: Question) -> bool:
        """Tell whether an implementation fails the case beyond what is recorded of it."""
        seen = asked.answer(question)
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
        if failing and records:
            excused = failing - _failing(judge(question, seen, records, explaining=False))
            failing -= excused
            if excused and not failing:
                self.result.known["recorded deviations"] += 1
        return bool(failing)


def _concerning(who: Implementation, deviations: Sequence[Deviation]) -> tuple[Deviation, ...]:
    version = next(iter(who.versions.values()), "0")
    return tuple(one for one in deviations if one.concerns_implementation(who.name, version, who.execution))


def _told(asked: Asked, case: Case) -> Witness:
    """Ask the minimal case once more, and say what is wrong with the answer."""
    question, who = Question(case), asked.implementation.id
    seen = asked.answer(question)
    if isinstance(seen, Crashed):
        return Witness(case, "crashed", seen.reason, ("1.1",), who)
    if isinstance(seen, Faulty):
        return Witness(case, "void", seen.reason, ("1.1",), who)
    try:
        rows = [row for row in judge(question, seen) if row.verdict in FAILING]
    except Exception as error:  # noqa: BLE001
        why = f"the suite failed to judge: {type(error).__name__}: {error}"
        return Witness(case, "void", why, ("1.1",), who)
    if not rows:
        return Witness(case, "differs", "flaky: the same case agrees when it is asked again", ("1.1",), who)
    why = "; ".join(f"{row.name} (step {row.step}): {row.explanation or row.verdict}" for row in rows)
    clauses = tuple(dict.fromkeys(row.clause for row in rows))
    return Witness(case, worst([row.verdict for row in rows]), why, clauses, who)


def _failing(rows: Sequence[QuantityRow]) -> set[tuple[int, str]]:
    return {(row.step, row.name) for row in rows if row.verdict in FAILING}
