"""A run on this machine: worker threads, each of which drives the hosts of its implementations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Protocol

from conformance.corpus.case import Case
from conformance.engine.cell import Cell, Session, cell_of
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
) -> list[AdapterError]:
    """Put every case to every implementation; ``done`` gets each cell as it is judged, one at a time.

    A worker takes an implementation at a time, so that a framework is imported once. Hosts are
    processes of their own: the threads wait for them, and judge in between. Returns the errors of
    implementations that could not be started; the others are complete. Whatever else is raised, an
    interrupt included, ends all hosts at once; ``done`` is then not called again.
    """
    run = _Run(cases, deviations, done)
    with ThreadPoolExecutor(max_workers=max(workers, 1), thread_name_prefix="conformance") as pool:
        running = [pool.submit(run.drive, start) for start in sessions]
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

    def __init__(self, cases: Sequence[Case], deviations: Sequence[Deviation], done: Callable[[Cell], None]) -> None:
        self.cases, self.deviations, self.done = cases, deviations, done
        self.failed: list[AdapterError] = []
        self._columns: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._open: list[ClosingSession] = []

    def drive(self, start: Callable[[], ClosingSession]) -> None:
        """Put all cases to one implementation."""
        try:
            with closing(start()) as session:
                self._open.append(session)
                self._claim(session)
                for case in self.cases:
                    if self._stopped:
                        return
                    self._take(cell_of(case, session, self.deviations))
        except AdapterError as error:
            with self._lock:
                if not self._stopped:
                    self.failed.append(error)

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
        for session in self._open:
            session.abort()

    def _take(self, cell: Cell) -> None:
        with self._lock:
            if not self._stopped:
                self.done(cell)
