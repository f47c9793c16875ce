"""A thread for every seat of a cluster: more as workers join, fewer as they are lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from conformance.cluster.connection import members
from conformance.cluster.seat import LostError, Seat
from conformance.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["crewed"]

_LOOK = 0.5
#: Seconds that a cluster may be without a worker for what is left, before a run gives up.
PATIENCE = 60.0
_MOST_SEATS = 4096
#: So often a worker that is there, but has lost what it was told, is told again.
_AGAIN = 3
_HINT = "start workers, with the resource that names the implementation where one was named; --resume goes on"


def crewed(client: Client, work: Callable[[Seat], None], left: Callable[[], str], stop: Callable[[], None]) -> None:
    """Have every seat ``work`` until nothing is ``left``, which says what is, in words.

    A seat whose worker is gone ends; seats of workers that join begin. Whatever else is raised stops them all.

    Raises:
        ClusterError: something is left, and for a minute no worker was there that does it; or the scheduler is gone.
    """
    crew = _Crew(client, work)
    with ThreadPoolExecutor(_MOST_SEATS, thread_name_prefix="seat") as pool:
        try:
            _watch(crew, pool, left)
        except BaseException:
            stop()
            crew.dismiss()
            raise


def _watch(crew: _Crew, pool: ThreadPoolExecutor, left: Callable[[], str]) -> None:
    worked = time.monotonic()
    while True:
        crew.look(pool)
        if crew.at_work:
            worked = time.monotonic()
        elif not (told := left()):
            return
        elif time.monotonic() - worked > PATIENCE:
            raise ClusterError(f"for {PATIENCE:g} s the cluster has had no worker for what is left: {told}", hint=_HINT)
        crew.wait()


class _Crew:
    def __init__(self, client: Client, work: Callable[[Seat], None]) -> None:
        self.client, self.work = client, work
        self._seats: dict[str, list[Seat]] = {}
        self._anew: Counter[str] = Counter()
        self._running: set[Future[None]] = set()
        self._ended = threading.Event()

    @property
    def at_work(self) -> bool:
        """Tell whether a seat works; what one has raised is raised."""
        for future in [future for future in self._running if future.done()]:
            self._running.discard(future)
            future.result()
        return bool(self._running)

    def look(self, pool: ThreadPoolExecutor) -> None:
        """Fill the seats of workers that have come, and mark those of workers that have gone."""
        try:
            present = members(self.client)
        except OSError as error:
            raise ClusterError(f"the scheduler does not answer any more: {error}", hint="--resume goes on") from error
        for address in self._seats.keys() - present.keys():
            for seat in self._seats.pop(address):
                seat.lost = True
        for address, seats in self._seats.items():
            for position, seat in enumerate(seats):
                if seat.forgotten and self._anew[address] < _AGAIN:
                    self._anew[address] += 1
                    seats[position] = Seat(self.client, present[address])
                    self._running.add(pool.submit(self._sit, seats[position]))
        for address in present.keys() - self._seats.keys():
            member = present[address]
            self._seats[address] = [Seat(self.client, member) for _ in range(member.threads)]
            self._running |= {pool.submit(self._sit, seat) for seat in self._seats[address]}

    def wait(self) -> None:
        """Wait until a seat has ended, or it is time to look again."""
        self._ended.wait(_LOOK)
        self._ended.clear()

    def dismiss(self) -> None:
        """Have every seat come back at once."""
        for seats in self._seats.values():
            for seat in seats:
                seat.lost = True

    def _sit(self, seat: Seat) -> None:
        try:
            self.work(seat)
        except LostError:
            seat.forgotten = not seat.lost
        finally:
            self._ended.set()
