"""What the workers of a run share, be they threads that drive hosts here or seats of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Generic, Protocol, TypeVar

from conformance.adapters.contract import Implementation
from conformance.corpus.case import Case
from conformance.durations import spent
from conformance.engine.cell import Cell
from conformance.engine.resume import Finished
from conformance.engine.schedule import Column, Schedule
from conformance.errors import AdapterError, UnstartedError

__all__ = ["Drive", "Driven"]

T = TypeVar("T")


class Driven(Protocol):
    """One implementation at one worker."""

    @property
    def adapter(self) -> str:
        """Return the name by which it was asked for."""

    @property
    def implementation(self) -> Implementation:
        """Return who is asked; starts the host the first time."""

    @property
    def at_once(self) -> int:
        """Return how many cases it is best given together."""

    def cells(self, cases: Sequence[Case]) -> Iterable[Cell]:
        """Put the cases and judge the answers, in their order."""

    def close(self) -> None:
        """End the host."""

    def abort(self) -> None:
        """Kill the host at once, while another thread may be waiting for its answer."""


class Drive(Generic[T]):
    """Takes implementations and cases from a schedule for any number of threads that ``work``, and gives cells away.

    ``done`` gets each cell once, one at a time, and none after ``stop``. ``failed`` are the errors of implementations
    that could not be started anywhere.
    """

    def __init__(self, schedule: Schedule[T], done: Callable[[Cell], None], finished: Finished) -> None:
        self.schedule, self.done, self.finished = schedule, done, finished
        self.failed: list[AdapterError] = []
        self._holders: dict[str, str] = {}
        self._filled: dict[Column[T], str] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._open: list[Driven] = []

    def work(
        self, start: Callable[[T], Driven], can: Callable[[T], bool] = lambda _: True,
        others: Callable[[T], bool] = lambda _: False,
    ) -> None:  # fmt: skip
        """Drive one implementation after the other that this worker ``can``, until nothing is left to do.

        One that does not start here is left to ``others``, if there are any who may try, whom this tells.
        Whatever is raised but an error of the adapter leaves the implementation, and its cases, to others.
        """
        while (column := self.schedule.next(can)) is not None:
            try:
                with closing(start(column.start)) as session:
                    self._enter(session)
                    self._drive(column, session)
            except AdapterError as error:
                self._fail(column, error, others=others(column.start))
            except BaseException:
                self.schedule.left(column)
                raise
            else:
                self.schedule.left(column)

    def stop(self) -> None:
        """Take no further cell, and end the hosts: what a killed one leaves behind is no outcome."""
        with self._lock:
            self._stopped = True
            running = tuple(self._open)
        self.schedule.stop()
        for session in running:
            session.abort()

    def _enter(self, session: Driven) -> None:
        """Keep a session, so that it can be ended; one that comes too late starts no host."""
        with self._lock:
            self._open.append(session)
            late = self._stopped
        if late:
            session.abort()

    def _claim(self, column: Column[T], session: Driven) -> None:
        """Take the column of an implementation, which only one adapter can fill, in one version."""
        found = session.implementation.id
        with self._lock:
            holder = self._holders.setdefault(found, session.adapter)
            filled = self._filled.setdefault(column, found)
        if holder != session.adapter:
            raise UnstartedError(
                session.adapter, f"{session.adapter} says that it is {found}, and so does {holder}",
                hint="a column stands for one installation: run them apart, then `conformance merge --apart`",
            )  # fmt: skip
        if filled != found:
            raise UnstartedError(
                session.adapter, f"{session.adapter} is {filled} at one worker and {found} at another",
                hint="give each version a name of its own, and the workers that have it that name as a resource",
            )  # fmt: skip

    def _drive(self, column: Column[T], session: Driven) -> None:
        with spent("starting hosts"):
            self._claim(column, session)
        self.schedule.started(column, self.finished.by(session.implementation))
        while not self._stopped and (cases := self.schedule.cases(column, session.at_once)):
            try:
                for cell in session.cells(cases):
                    if not self._take(cell):
                        return
                    cases = cases[1:]
            except BaseException:
                self.schedule.back(column, cases)
                raise

    def _fail(self, column: Column[T], error: AdapterError, *, others: bool) -> None:
        with self._lock:
            if self.schedule.refused(column, others=others) and not self._stopped:
                self.failed.append(error)

    def _take(self, cell: Cell) -> bool:
        """Give a cell away, and return whether it was wanted."""
        with self._lock:
            if self._stopped:
                return False
            self.done(cell)
            return True
