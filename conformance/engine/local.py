"""A run on this machine: worker threads, each of which drives the hosts of its implementations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

from conformance.corpus.case import Case
from conformance.engine.cell import Cell, Session, cell_of
from conformance.errors import AdapterError
from conformance.verdict.deviations import Deviation

__all__ = ["ClosingSession", "run_cells"]


class ClosingSession(Session, Protocol):
    """A session that is closed after use."""

    def close(self) -> None:
        """End the host."""


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
    implementations that could not be started; the others are complete.
    """
    lock = threading.Lock()
    failed: list[AdapterError] = []

    def drive(start: Callable[[], ClosingSession]) -> None:
        try:
            with closing(start()) as session:
                for case in cases:
                    cell = cell_of(case, session, deviations)
                    with lock:
                        done(cell)
        except AdapterError as error:
            with lock:
                failed.append(error)

    with ThreadPoolExecutor(max_workers=max(workers, 1), thread_name_prefix="conformance") as pool:
        running = [pool.submit(drive, start) for start in sessions]
        try:
            for future in running:
                future.result()
        except BaseException:
            for future in running:
                future.cancel()
            raise
    return failed
