"""What is made of cases and kept while they are at hand: every implementation of a run comes to the same cases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from conformance.corpus.case import Case

__all__ = ["AtHand"]

T = TypeVar("T")


class AtHand(Generic[T]):
    """A function of a case that makes the same of a case once, as long as there is room. Threads may share it.

    Args:
        make: makes it of a case.
        size: returns how many bytes that holds, about.
        room: how many bytes are kept in all; the oldest go first. What would take half of it or more is not kept.
    """

    def __init__(self, make: Callable[[Case], T], size: Callable[[T], int], room: int) -> None:
        self._make, self._size, self._room = make, size, room
        self._kept: dict[str, tuple[Case, T, int]] = {}
        self._held = 0
        self._lock = threading.Lock()

    def __call__(self, case: Case) -> T:
        """Return what is made of the case."""
        known = self._kept.get(case.id)
        # Ids are told apart by what they name: of the same object that is known without comparing.
        if known is not None and (known[0] is case or known[0] == case):
            return known[1]
        made = self._make(case)
        size = self._size(made)
        if 2 * size < self._room:
            with self._lock:
                self._keep(case, made, size)
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._held = 0

    def _keep(self, case: Case, made: T, size: int) -> None:
        self._drop(case.id)
        self._kept[case.id] = (case, made, size)
        self._held += size
        while self._held > self._room:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: str) -> None:
        if name in self._kept:
            self._held -= self._kept.pop(name)[2]
