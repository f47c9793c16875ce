"""One cell: a case put to one implementation, judged and explained."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import msgspec

from conformance.adapters.contract import Implementation
from conformance.corpus.at_hand import AtHand
from conformance.corpus.case import Case
from conformance.durations import spent, told_cell
from conformance.engine.column import implementation_row
from conformance.errors import ConformanceError
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.results.rows import FAILING, CellRow, ImplementationRow, QuantityRow, Verdict, worst
from conformance.verdict.deviations import Deviation
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

__all__ = ["Cell", "ForesightedSession", "Session", "cell_of", "cells_of", "question_of"]


class Session(Protocol):
    """What a cell needs of a host."""

    @property
    def implementation(self) -> Implementation:
        """Return who is asked."""

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        """Put the case and return what came back."""

    def observe_apart(self, case: Case) -> Observation | Crashed | Faulty | None:
        """Put it once more, to a host that has been asked little else; ``None`` where there is none."""


class ForesightedSession(Session, Protocol):
    """One that can be told which case comes next."""

    def ask_ahead(self, case: Case) -> None:
        """Put the case that is observed next, if that can be done by now."""


@dataclass(frozen=True)
class Cell:
    """A judged cell with the column that it belongs to."""

    row: CellRow
    implementation: ImplementationRow


#: What is asked again, and how the answers to that are told.
_DOUBTED = FAILING - {"void"}
_SAID: dict[Verdict, str] = {
    "agrees": "agrees", "rough": "is rough", "deviates": "deviates as declared", "differs": "differs",
    "changed": "is changed", "crashed": "crashes", "open": "is open", "unsupported": "is unsupported",
}  # fmt: skip
#: The question of a case, shared by the implementations that it is put to. Counted are its inputs, of which the default
#: set has a megabyte; what is predicted takes some five times as much.
question_of = AtHand(
    Question, lambda question: 500 + sum(one.nbytes for one in question.arrays.values()), room=64 * 2**20
)


def cells_of(
    cases: Sequence[Case], session: ForesightedSession, deviations: Sequence[Deviation] = ()
) -> Iterator[Cell]:
    """Put the cases in turn and judge the answers; while one is judged the host has the next case already."""
    for case, following in zip_longest(cases, cases[1:]):
        yield cell_of(case, session, deviations, None if following is None else partial(session.ask_ahead, following))


def cell_of(
    case: Case, session: Session, deviations: Sequence[Deviation] = (), answered: Callable[[], None] | None = None
) -> Cell:
    """Put ``case`` to the implementation behind ``session`` and judge the answer.

    What fails is asked again, in a host apart: an outcome that does not come twice is shown as such.
    ``answered`` is called once the answer is there, before it is judged.
    """
    implementation = session.implementation

    def asked(ask: Callable[[Case], Observation | Crashed | Faulty | None]) -> Cell | None:
        seen = _asked(case, ask)
        return None if seen is None else _cell(case, implementation, seen, deviations)

    start = time.perf_counter()
    seen = _asked(case, session.observe)
    assert seen is not None
    waited = time.perf_counter() - start
    if answered is not None:
        answered()
    cell = _cell(case, implementation, seen, deviations)
    # Asked ahead, it may have been at work before it was waited for.
    inside, early = cell.row.seconds, max(cell.row.seconds - waited, 0.0)
    told_cell(time.perf_counter() - start + early, inside, inside - early, (case.id, implementation.id))
    if cell.row.verdict not in _DOUBTED or (isinstance(seen, Crashed) and not seen.again):
        return cell
    apart = asked(session.observe_apart)
    if apart is None or apart.row.verdict in (cell.row.verdict, "void"):
        return cell
    again = () if isinstance(seen, Crashed) else (asked(session.observe), asked(session.observe_apart))
    verdicts = tuple(one.row.verdict for one in again if one is not None)
    return _of_two(cell, apart, steady=verdicts == (cell.row.verdict, apart.row.verdict))


def _of_two(cell: Cell, apart: Cell, *, steady: bool) -> Cell:
    """Return the graver of two cells of one case that do not agree, and say so."""
    graver, other = (cell, apart) if worst([cell.row.verdict, apart.row.verdict]) == cell.row.verdict else (apart, cell)
    if steady:
        said = "depends on what was asked before: to a host of its own the same case"
    else:
        said = "flaky: asked twice, the same case"
    explanation = f"{said} {_SAID[other.row.verdict]}; {graver.row.explanation}"
    return Cell(msgspec.structs.replace(graver.row, explanation=explanation), graver.implementation)


def _cell(
    case: Case, implementation: Implementation, seen: Observation | Crashed | Faulty, deviations: Sequence[Deviation]
) -> Cell:
    if isinstance(seen, Observation):
        try:
            with spent("judging"):
                row = _judged(case, implementation, seen, deviations)
        except Exception as error:  # noqa: BLE001 a fault of the judge is void, and costs no other cell
            said = _fault("judge", error)
            row = CellRow(case=case.id, implementation=implementation.id, verdict="void", explanation=said)
        return Cell(row, implementation_row(implementation, seen.dialect))
    verdict: Verdict = "crashed" if isinstance(seen, Crashed) else "void"
    row = CellRow(case=case.id, implementation=implementation.id, verdict=verdict, explanation=seen.reason)
    return Cell(row, implementation_row(implementation, None))


def _asked(
    case: Case, ask: Callable[[Case], Observation | Crashed | Faulty | None]
) -> Observation | Crashed | Faulty | None:
    """Put the case; what fails before the implementation is asked is void, and costs no other cell."""
    try:
        with spent("host round trips"):
            return ask(case)
    except ConformanceError:
        raise
    except Exception as error:  # noqa: BLE001
        return Faulty(_fault("ask", error))


def _judged(case: Case, who: Implementation, seen: Observation, deviations: Sequence[Deviation]) -> CellRow:
    concerned = tuple(record for record in _of(who, deviations) if record.concerns_case(case.id))
    # Of what is declared unsupported only the verdict is kept: to explain it would take most of the time.
    rows = judge(question_of(case), seen, concerned, explaining=seen.unsupported is None)
    if seen.unsupported is not None:
        verdict, explanation, rows = _declared_unsupported(seen.unsupported, rows)
    else:
        verdict = worst([row.verdict for row in rows])
        explanation = _explanation(verdict, rows)
    return CellRow(
        case=case.id, implementation=who.id, verdict=verdict, explanation=explanation,
        seconds=round(seen.seconds, 6), quantities=rows,
    )  # fmt: skip


#: The records of the columns at hand, with those that they were taken from.
_concerning: dict[str, tuple[Sequence[Deviation], tuple[Deviation, ...]]] = {}


def _of(who: Implementation, deviations: Sequence[Deviation]) -> tuple[Deviation, ...]:
    """Return the records of one implementation; looked for once, since versions take long to compare."""
    known = _concerning.get(who.id)
    if known is None or known[0] is not deviations:
        version = next(iter(who.versions.values()), "0")
        own = tuple(one for one in deviations if one.concerns_implementation(who.name, version, who.execution))
        known = _concerning[who.id] = (deviations, own)
    return known[1]


def _fault(doing: str, error: Exception) -> str:
    """Say where the suite itself failed."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"the suite failed to {doing}: {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"


def _declared_unsupported(
    why: str, rows: tuple[QuantityRow, ...]
) -> tuple[Verdict, str, tuple[QuantityRow, ...]]:
    """Hold a declaration against the attempt: where everything fits after all, it is stale."""
    works = bool(rows) and all(row.verdict in ("agrees", "rough", "deviates") for row in rows)
    if works:
        return "changed", f"declared unsupported ({why}), and yet it answers as expected", rows
    return "unsupported", why, ()


def _explanation(verdict: Verdict, rows: tuple[QuantityRow, ...]) -> str:
    """Return one sentence for each different reason among the rows that decide the verdict."""
    if verdict == "agrees":
        return ""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.verdict == verdict:
            reason = row.explanation or row.open or _roughness(row)
            reasons.setdefault(reason, []).append(f"{row.name} (step {row.step})")
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())


def _roughness(row: QuantityRow) -> str:
    return "inside the bound for plain summation only" if row.verdict == "rough" else row.verdict
