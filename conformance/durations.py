"""Where the time of a run goes: a ledger of stages that whatever takes time writes into, if somebody keeps one."""

from __future__ import annotations

import heapq
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

__all__ = ["STAGES", "Ledger", "kept", "spent", "told_cell"]

IMPLEMENTATION = "implementation's calls"
#: In the order of the table.
STAGES = (
    "reading cases", "starting hosts", IMPLEMENTATION, "host round trips", "oracle", "judging", "writing", "report",
)  # fmt: skip


@dataclass(frozen=True, order=True)
class SlowCell:
    """A cell: all its seconds, those inside the implementation, and which it is."""

    seconds: float
    inside: float
    case: str
    implementation: str


class Ledger:
    """Seconds by stage, of all threads together, and the slowest cells; a stage within another counts once."""

    def __init__(self, slowest: int) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.started = time.perf_counter()
        self._most = slowest
        self._slow: list[SlowCell] = []
        self._lock = threading.Lock()
        self._stack = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds until it ends."""
        inner: list[float] = self._stack.__dict__.setdefault("inner", [])
        start = time.perf_counter()
        inner.append(0.0)
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            within = inner.pop()
            if inner:
                inner[-1] += taken
            with self._lock:
                self.seconds[name] += taken - within

    def cell(self, seconds: float, inside: float, waited: float, which: tuple[str, str]) -> None:
        """Count a cell: what of the implementation's time was waited for is taken off the round trip it was part of."""
        with self._lock:
            self.seconds[IMPLEMENTATION] += inside
            if "host round trips" in self.seconds:  # not where a cluster asks
                self.seconds["host round trips"] -= waited
            heapq.heappush(self._slow, SlowCell(seconds, inside, *which))
            if len(self._slow) > self._most:
                heapq.heappop(self._slow)

    def table(self) -> str:
        """Return the stages with their seconds and shares, and the slowest cells."""
        wall, total = time.perf_counter() - self.started, sum(self.seconds.values()) or 1.0
        lines = ["where time went          seconds  share", "-----------------------  -------  -----"]
        for name in STAGES:
            if name in self.seconds:
                seconds = max(self.seconds[name], 0.0)
                lines.append(f"{name:23}  {seconds:7.2f}  {seconds / total:5.0%}")
        lines.append(f"of all workers together; the run took {wall:.1f} s")
        slow = sorted(self._slow, reverse=True)
        if slow:
            lines += ["", "slowest cells  of these inside the implementation"]
            lines += [f"{one.seconds:11.2f} s  {one.inside:7.2f} s  {one.case} on {one.implementation}" for one in slow]
        return "\n".join(lines)


_kept: Ledger | None = None
_NOTHING = nullcontext()


@contextmanager
def kept(slowest: int | None) -> Iterator[Ledger | None]:
    """Keep a ledger of what is done meanwhile, with so many slowest cells; ``None`` keeps none."""
    global _kept  # noqa: PLW0603  one run at a time keeps one
    before, _kept = _kept, None if slowest is None else Ledger(slowest)
    try:
        yield _kept
    finally:
        _kept = before


def spent(stage: str) -> AbstractContextManager[None]:
    """Count the seconds of a block of code towards a stage, if a ledger is kept."""
    return _NOTHING if _kept is None else _kept.stage(stage)


def told_cell(seconds: float, inside: float, waited: float, which: tuple[str, str]) -> None:
    """Count a cell of a case on an implementation, if a ledger is kept.

    Given are all its seconds, those inside the implementation, and how many of these somebody waited for: of a request
    that was sent ahead the answer is made while another is judged.
    """
    if _kept is not None:
        _kept.cell(seconds, inside, waited, which)
