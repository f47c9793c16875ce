"""Who does what next: implementations are spread over workers, and shared where one takes longest."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from conformance.corpus.case import Case

__all__ = ["Column", "Schedule"]

T = TypeVar("T")
#: Seconds after which a worker without work looks again whether it can help.
_LOOK = 0.05


@dataclass(eq=False)
class Column(Generic[T]):
    """The cases that one implementation has still to be asked, and what is known of its pace in seconds.

    ``start`` is what whoever asks it needs to start it.
    """

    start: T
    waiting: deque[Case]
    workers: int = 0
    begun: float = 0.0
    starting: float | None = None
    asked: int = 0
    refused: bool = False
    answering: float = field(default=0.0)

    def gain(self, now: float) -> float:
        """Return how many seconds sooner it is finished if one more worker helps; 0 where that is not known."""
        if self.starting is None or not self.asked or not self.waiting:
            return 0.0
        a_case = (now - self.answering) * self.workers / self.asked
        left = len(self.waiting) * a_case
        return left / self.workers - (left + self.starting) / (self.workers + 1) - self.starting


class Schedule(Generic[T]):
    """The implementations of a run, each with the cases left for it. Threads may share it."""

    def __init__(self, cases: Sequence[Case], starts: Sequence[T]) -> None:
        self._columns = [Column(start, deque(cases)) for start in starts]
        self._changed = threading.Condition()
        self._stopped = False

    def next(self, can: Callable[[T], bool] = lambda _: True) -> Column[T] | None:
        """Return the implementation that a worker is to start, of those that it ``can``; ``None`` if none is left.

        Waits while others are at them, who may yet need help, give up or be lost.
        """
        with self._changed:
            while not self._stopped:
                mine = [column for column in self._columns if not column.refused and can(column.start)]
                open_ = [column for column in mine if column.waiting]
                fresh = next((column for column in open_ if not column.workers), None)
                if fresh is None and open_:
                    now = time.monotonic()
                    longest = max(open_, key=lambda column: column.gain(now))
                    fresh = longest if longest.gain(now) > 0 else None
                if fresh is not None:
                    fresh.workers += 1
                    fresh.begun = fresh.begun or time.monotonic()
                    return fresh
                if not open_ and not any(column.workers for column in mine):
                    return None
                self._changed.wait(_LOOK)
            return None

    def started(self, column: Column[T], finished: Collection[str]) -> None:
        """Say that an implementation has started; those of its cases that are ``finished`` are left out."""
        with self._changed:
            if column.starting is None:
                column.answering = time.monotonic()
                column.starting = column.answering - column.begun
                column.waiting = deque(case for case in column.waiting if case.id not in finished)

    def cases(self, column: Column[T], count: int) -> list[Case]:
        """Return the next cases to ask an implementation, no more than its share; none if there is no more."""
        with self._changed:
            if column.refused:
                return []
            share = max(1, len(column.waiting) // (2 * max(column.workers, 1)))
            taken = [column.waiting.popleft() for _ in range(min(count, share, len(column.waiting)))]
            column.asked += len(taken)
            return taken

    def back(self, column: Column[T], cases: Sequence[Case]) -> None:
        """Put back cases that came to nothing: the worker that had taken them is lost."""
        with self._changed:
            column.waiting.extendleft(reversed(cases))
            column.asked -= len(cases)
            self._changed.notify_all()

    def unfinished(self) -> list[Column[T]]:
        """Return the implementations that have cases left and were not refused."""
        with self._changed:
            return [column for column in self._columns if column.waiting and not column.refused]

    def left(self, column: Column[T]) -> None:
        """Say that a worker is done with an implementation."""
        with self._changed:
            column.workers -= 1
            self._changed.notify_all()

    def refused(self, column: Column[T], *, others: bool = False) -> bool:
        """Say that a worker could not start an implementation, and leaves it; returns whether that is its end.

        Where others are at it, it goes on with them; so too if there are ``others`` who may yet try.
        """
        with self._changed:
            column.workers -= 1
            if others:
                self._changed.notify_all()
                return False
            if column.starting is not None and column.workers:
                column.starting = math.inf  # nobody else tries to help
                return False
            column.refused = True
            self._changed.notify_all()
            return True

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
