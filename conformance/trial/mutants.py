"""Mutation test of the suite: every variant, put in as an implementation, is caught and named."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from conformance.adapters import numpy as own
from conformance.adapters.contract import Adapter, LayerConfig
from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect, options
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS
from conformance.host.messages import Run
from conformance.host.observation import Observation, Outcome, Raised
from conformance.host.play import play
from conformance.results.rows import QuantityRow
from conformance.verdict.compare import Comparison, compare
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

__all__ = ["ENOUGH_CELLS", "ENOUGH_MARGIN", "Kill", "Mutant", "kills", "mutants", "observe", "verdict"]

#: A variant is named well enough once this many cells have named it; no more are asked.
ENOUGH_CELLS = 3
#: Cells of so many quantities tell variants apart; those of more only take longer.
_MANY = 10
#: What a variant's best case tells it from the declared behaviour by, at least, in plain bounds.
ENOUGH_MARGIN = 10.0


class Mutant(own.Adapter):
    """The formulas with one variant built in, which declares the behaviour without it."""

    def __init__(self, name: str) -> None:
        self.variant = VARIANTS[name]
        self.declared = _declared(name)
        super().__init__(self.variant.applied_to(Rules(dialect=self.declared)))

    def dialect_for(self, layer: LayerConfig) -> Dialect:  # noqa: ARG002  (the contract's)
        """Declare what the mutant does not do."""
        return self.declared


@dataclass(frozen=True)
class Kill:
    """How the corpus deals with one variant.

    ``caught`` counts the cells that fail, ``asked`` those of them that were asked for an explanation, ``named`` those
    that gave the variant's own name. ``margin`` is the largest error over plain bound, infinite where shape, dtype,
    outcome or an exact value is wrong; ``best`` the case that has it. ``elsewhere`` holds other explanations given.
    """

    variant: str
    caught: int
    asked: int
    named: int
    margin: float
    best: str
    elsewhere: tuple[str, ...]

    @property
    def survives(self) -> bool:
        """Tell whether no cell fails, or none by enough."""
        return self.caught == 0 or self.margin < ENOUGH_MARGIN


def mutants() -> tuple[Mutant, ...]:
    """Return one mutant for each variant."""
    return tuple(Mutant(name) for name in VARIANTS)


def kills(cases: Sequence[Case], names: Sequence[str] = tuple(VARIANTS), *, whole: bool = False) -> Iterator[Kill]:
    """Put cases to the mutant of each named variant; predictions are shared among them.

    One case of each entry of a case file will do for most mutants; one that survives those, or is not named by them,
    is put to all. ``whole`` puts every mutant to all.
    """
    questions = [_Asked(case) for case in cases]
    chosen = list({_entry(question.case): question for question in reversed(questions)}.values())
    for name in names:
        mutant = Mutant(name)
        kill = _kill(mutant, questions if whole else chosen)
        if not whole and (kill.survives or not kill.named):
            kill = _kill(mutant, questions)
        yield kill


def verdict(kill: Kill) -> str:
    """Return what became of a mutant, in a word or two."""
    if kill.survives:
        return "SURVIVES"
    return "named" if kill.named else "caught under another name"


def _entry(case: Case) -> str:
    return case.id.partition("[")[0]


def observe(adapter: Adapter, question: Question) -> Observation:
    """Put a case to an adapter in this process."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of averages over nothing
        ran, arrays = play(adapter, Run.of(question.case), question.arrays)
    outcomes: dict[tuple[int, str], Outcome] = {}
    for key, array in arrays.items():
        number, _, quantity = key.partition(":")
        outcomes[int(number), quantity] = array
    for step, reply in enumerate((ran.create, *ran.steps)):
        if reply.raises is not None:
            outcomes[step, "outcome"] = Raised(reply.raises.type, reply.raises.message)
    return Observation(ran.dialect, ran.unsupported, outcomes, ran.seconds)


class _Asked(Question):
    """A question with the answers of the canary, which spare judging a mutant that gives the same."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._canary: dict[Dialect, Observation] = {}

    def is_answered_by(self, seen: Observation) -> bool:
        """Tell whether the formulas without the mutation give the very same, bit for bit."""
        if seen.dialect not in self._canary:
            self._canary[seen.dialect] = observe(own.Adapter(Rules(dialect=seen.dialect)), self)
        known = self._canary[seen.dialect].outcomes
        return known.keys() == seen.outcomes.keys() and all(_same(known[key], seen.outcomes[key]) for key in known)


def _same(one: Outcome, other: Outcome) -> bool:
    if isinstance(one, Raised) or isinstance(other, Raised):
        return one == other if isinstance(one, Raised) and isinstance(other, Raised) else False
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _kill(mutant: Mutant, questions: Sequence[_Asked]) -> Kill:
    failing: list[_Failing] = []
    for question in questions:
        seen = observe(mutant, question)
        if question.is_answered_by(seen):
            continue
        rows = judge(question, seen, explaining=False)
        if any(row.verdict in ("differs", "changed") for row in rows):
            failing.append(_Failing(_margin(question, mutant.declared, seen, rows), len(rows), question, seen))
    asked, named, elsewhere = _named(mutant.variant.name, failing)
    best = max(failing, key=lambda one: one.margin, default=None)
    margin, case_id = (best.margin, best.question.case.id) if best is not None else (0.0, "")
    return Kill(mutant.variant.name, len(failing), asked, named, margin, case_id, elsewhere)


@dataclass(frozen=True)
class _Failing:
    """A cell that fails, with how many quantities it has and by how much the worst is off."""

    margin: float
    quantities: int
    question: Question
    observation: Observation


def _named(name: str, failing: Sequence[_Failing]) -> tuple[int, int, tuple[str, ...]]:
    """Ask the cells for explanations, those that tell variants apart best first, until enough have given the name."""
    asked = named = 0
    elsewhere: dict[str, None] = {}
    # The same cells for every mutant, where they will do: their predictions are there already.
    for cell in sorted(failing, key=lambda one: -min(one.quantities, _MANY)):
        given = {
            row.variant for row in judge(cell.question, cell.observation) if row.verdict in ("differs", "changed")
        }
        asked += 1
        named += given == {name}
        elsewhere |= dict.fromkeys(other or "none" for other in sorted(given - {name}, key=str))
        if named == ENOUGH_CELLS:
            break
    return asked, named, tuple(elsewhere)


def _margin(question: Question, declared: Dialect, seen: Observation, rows: Sequence[QuantityRow]) -> float:
    predicted = question.predict(Rules(dialect=declared))
    return max(_by_how_much(predicted.get((row.step, row.name)), seen.outcomes, row) for row in rows)


def _by_how_much(expected: Any, outcomes: Mapping[tuple[int, str], Outcome], row: QuantityRow) -> float:
    observed = outcomes.get((row.step, row.name))
    if row.verdict not in ("differs", "changed"):
        return 0.0
    if not isinstance(expected, Expected) or observed is None or isinstance(observed, Raised):
        return math.inf
    comparison = compare(observed, expected)
    if not isinstance(comparison, Comparison):
        return math.inf
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(comparison.error == 0, 0.0, comparison.error / expected.plain)
    return float(ratio.max(initial=0.0))


def _declared(name: str) -> Dialect:
    """Return the canary's dialect, or one with another option where that already does what the variant does."""
    layer = Case(id="trial/any", fact="", clauses=("1.1",), steps=(Step(train="a"),)).layer
    dialect = own.Adapter().dialect_for(layer)
    if VARIANTS[name].changes(Rules(dialect=dialect)):
        return dialect
    for choice in (field.name for field in fields(Dialect) if field.name in VARIANTS[name].choices):
        others = (option for option in options(choice) if option not in ("undeclared", getattr(dialect, choice)))
        changes: dict[str, Any] = {choice: next(others)}
        dialect = replace(dialect, **changes)
    return dialect
