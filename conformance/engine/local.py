"""A run on this machine: worker threads, each of which drives hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Protocol

from conformance.corpus.case import Case
from conformance.engine.cell import Cell, Session, cell_of
from conformance.engine.resume import NOTHING, Finished
from conformance.engine.schedule import Column, Schedule
from conformance.errors import AdapterError, UnstartedError
from conformance.verdict.deviations import Deviation

__all__ = ["ClosingSession", "run_cells"]


class ClosingSession(Session, Protocol):
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
    run = _Run(Schedule(cases, sessions), deviations, done, finished)
    with ThreadPoolExecutor(max_workers=max(workers, 1), thread_name_prefix="conformance") as pool:
        running = [pool.submit(run.work) for _ in range(max(workers, 1))]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
            for future in running:
                if future.done():
                    future.result()
        except BaseException:
            run.stop()
            raise
    return run.failed


class _Run:
    """What the workers of a run share."""

    def __init__(
        self, schedule: Schedule[ClosingSession], deviations: Sequence[Deviation], done: Callable[[Cell], None],
        finished: Finished,
    ) -> None:  # fmt: skip
        self.schedule, self.deviations, self.done, self.finished = schedule, deviations, done, finished
        self.failed: list[AdapterError] = []
        self._columns: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._open: list[ClosingSession] = []

    def work(self) -> None:
        """Drive one implementation after the other, until nothing is left to do."""
        while (column := self.schedule.next()) is not None:
            try:
                with closing(column.start()) as session:
                    self._open.append(session)
                    self._drive(column, session)
            except AdapterError as error:
                self._fail(column, error)
            else:
                self.schedule.left(column)

    def _claim(self, session: ClosingSession) -> None:
        """Take the column of an implementation, which only one session can fill."""
        column = session.implementation.id
        with self._lock:
            holder = self._columns.setdefault(column, session.adapter)
        if holder != session.adapter:
            raise UnstartedError(
                session.adapter, f"{session.adapter} says that it is {column}, and so does {holder}",
                hint="a column stands for one installation: run them apart, then `conformance merge --apart`",
            )  # fmt: skip

    def stop(self) -> None:
        """Take no further cell, and end the hosts: what a killed one leaves behind is no outcome."""
        with self._lock:
            self._stopped = True
        self.schedule.stop()
        for session in self._open:
            session.abort()

    def _drive(self, column: Column[ClosingSession], session: ClosingSession) -> None:
        self._claim(session)
        there = self.finished.by(session.implementation)
        self.schedule.started(column, there)
        while not self._stopped and (case := self.schedule.case(column)) is not None:
            self._take(cell_of(case, session, self.deviations))

    def _fail(self, column: Column[ClosingSession], error: AdapterError) -> None:
        with self._lock:
            if self.schedule.refused(column) and not self._stopped:
                self.failed.append(error)

    def _take(self, cell: Cell) -> None:
        with self._lock:
            if not self._stopped:
                self.done(cell)
