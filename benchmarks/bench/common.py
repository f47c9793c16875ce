"""What several figures share: palette cases, asking and timing a cell, medians of what was interleaved."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from conformance.corpus.case import Case
from conformance.corpus.inputs import inputs_of
from conformance.corpus.load import load_corpus
from conformance.corpus.palette import EVALUATE_ONLY, PALETTE
from conformance.engine import cell
from conformance.engine.machine import run_row
from conformance.engine.recorder import Recorder
from conformance.host import session
from conformance.host.session import HostSession
from conformance.results.rows import QuantityRow
from conformance.verdict.deviations import load_deviations

__all__ = [
    "DEFAULT", "Timed", "Work", "asked", "elements", "forget", "palette_cases", "peak_mebibytes", "ratio", "recorder",
]  # fmt: skip

#: What a run asks by default.
DEFAULT = ("numpy", "torch", "keras-tensorflow", "flax-linen")


def palette_cases() -> tuple[Case, ...]:
    """Return the default set, but for networks and what has a shape of its own."""
    shapes = {*PALETTE, *EVALUATE_ONLY}
    return tuple(case for case in load_corpus() if case.network is None and case.shape in shapes)


@contextmanager
def recorder(cases: Sequence[Case]) -> Iterator[Recorder]:
    """Write results into a folder that is gone afterwards."""
    with TemporaryDirectory(prefix="bench-") as folder:
        kept = Recorder(Path(folder), run_row(cases, corpus=cases, not_installed={}))
        try:
            yield kept
        finally:
            kept.close()


@dataclass(frozen=True)
class Timed:
    """A cell, the seconds that it took until it was in the file, and those of them outside the implementation."""

    cell: cell.Cell
    seconds: float
    own: float


def forget() -> None:
    """Forget what was made of cases, predictions, inputs and requests, as if the run began."""
    cell.question_of.clear()
    inputs_of.clear()
    session._request.clear()  # noqa: SLF001  (nobody else has a reason to)


def asked(
    cases: Sequence[Case], session: HostSession, results: Recorder, *, ahead: bool = True
) -> Iterator[Timed]:
    """Put each case as a run does, and yield its cell, judged and written.

    Its seconds are those since the cell before it was written. Unless ``ahead`` a case is put when the one before it
    has been written.
    """
    session.implementation  # noqa: B018  (it is started before the clock is)
    deviations = load_deviations()
    in_turn = (cell.cell_of(case, session, deviations) for case in cases)
    start = time.perf_counter()
    for one in cell.cells_of(cases, session, deviations) if ahead else in_turn:
        results.add(one)
        taken = time.perf_counter() - start
        if one.row.verdict in ("void", "crashed"):
            raise RuntimeError(f"{one.row.case} is {one.row.verdict}: {one.row.explanation}")
        yield Timed(one, taken, taken - one.row.seconds)
        start = time.perf_counter()


def elements(cells: Sequence[Timed], wanted: Callable[[QuantityRow], bool]) -> int:
    """Return how many elements of the wanted quantities were judged."""
    rows = (row for one in cells for row in one.cell.row.quantities if wanted(row) and row.dtype)
    return sum(math.prod(row.shape) for row in rows)


@dataclass(frozen=True)
class Work:
    """So much was checked in so many seconds."""

    checked: float
    seconds: float

    @property
    def rate(self) -> float:
        """Return how much was checked in a second."""
        return self.checked / self.seconds


def ratio(ours: Callable[[], Work], theirs: Callable[[], Work], rounds: int = 5) -> tuple[float, float, float]:
    """Return the median ratio of rates, and the median of each; both are measured in turn, after one round unmeasured.

    What else the machine does falls on both alike.
    """
    pairs = [(ours().rate, theirs().rate) for _ in range(rounds + 1)][1:]
    return median(one / other for one, other in pairs), median(a for a, _ in pairs), median(b for _, b in pairs)


def peak_mebibytes() -> float:
    """Return the most memory that this process has held; not what its parent had, which ``ru_maxrss`` counts."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else math.nan
