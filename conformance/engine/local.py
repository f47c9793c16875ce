"""A run on this machine: worker threads, each of which drives hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from conformance.adapters.contract import Implementation
from conformance.corpus.case import Case
from conformance.engine.cell import Cell, ForesightedSession, cells_of
from conformance.engine.drive import Drive
from conformance.engine.resume import NOTHING, Finished
from conformance.engine.schedule import Schedule
from conformance.errors import AdapterError
from conformance.verdict.deviations import Deviation

__all__ = ["ClosingSession", "run_cells"]


#: So many cases a worker takes at a time: within these the host is given the next one while an answer is judged.
_AT_ONCE = 16


class ClosingSession(ForesightedSession, Protocol):
    """A session that is closed after use."""

    @property
    def adapter(self) -> str:
        """Return the name by which it was asked for."""

    def close(self) -> None:
        """End the host."""

    def abort(self) -> None:
        """Kill the host at once, while another thread may be waiting for its answer."""


def run_cells(
    cases: Sequence[Case],
    sessions: Sequence[Callable[[], ClosingSession]],
    *,
    workers: int,
    deviations: Sequence[Deviation],
    done: Callable[[Cell], None],
    finished: Finished = NOTHING,
) -> list[AdapterError]:
    """Put every case to every implementation; ``done`` gets each cell as it is judged, one at a time.

    A worker takes an implementation at a time, so that a framework is imported once by each worker that needs
    it; workers that would idle help with the longest that is left, if that takes longer than another start.
    Hosts are processes of their own: the threads wait for them, and judge in between. Cells that are
    ``finished`` are not asked. Returns the errors of implementations that could not be started; the others are
    complete. Whatever else is raised, an interrupt included, ends all hosts at once; ``done`` is then not called
    again.
    """
    drive = Drive(Schedule(cases, sessions), done, finished)

    def work() -> None:
        drive.work(lambda start: _Here(start(), deviations))

    with ThreadPoolExecutor(max_workers=max(workers, 1), thread_name_prefix="conformance") as pool:
        running = [pool.submit(work) for _ in range(max(workers, 1))]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
            for future in running:
                if future.done():
                    future.result()
        except BaseException:
            drive.stop()
            raise
    return drive.failed


@dataclass(frozen=True)
class _Here:
    """An implementation in a host of this machine, judged here."""

    session: ClosingSession
    deviations: Sequence[Deviation]
    at_once: int = _AT_ONCE

    @property
    def adapter(self) -> str:
        return self.session.adapter

    @property
    def implementation(self) -> Implementation:
        return self.session.implementation

    def cells(self, cases: Sequence[Case]) -> Iterator[Cell]:
        return cells_of(cases, self.session, self.deviations)

    def close(self) -> None:
        self.session.close()

    def abort(self) -> None:
        self.session.abort()
