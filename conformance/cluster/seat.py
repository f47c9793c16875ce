"""A place at a Dask worker: asks it one thing at a time, and notices when it is gone."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from conformance import __version__
from conformance.adapters.contract import Implementation
from conformance.cluster import work
from conformance.cluster.connection import Member, askers
from conformance.cluster.messages import Begin, Begun, Judged, Search, Searched, decode, encode
from conformance.corpus.case import Case
from conformance.engine.cell import Cell
from conformance.errors import UnstartedError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["LostError", "Seat", "SeatedSession", "Wanted"]

#: Seconds between looks whether a worker is still there; of work that one is given at a time, and cells at most.
_LOOK, _A_TIME, _MOST = 0.5, 2.0, 200


class LostError(Exception):
    """The Dask worker is gone; what it was asked is to be asked of another."""


class Wanted(Begin, frozen=True, kw_only=True):
    """An implementation as a worker is told to start it; ``labelled`` if workers have it among their resources."""

    suite: str = __version__
    labelled: bool = False

    def fits(self, member: Member) -> bool:
        """Tell whether a worker may be asked: one that is labelled with its name, where any is."""
        return self.adapter in member.labels or not self.labelled


class Seat:
    """One of the threads of a Dask worker."""

    def __init__(self, client: Client, member: Member) -> None:
        self.client, self.member = client, member
        #: Whether the worker is gone; whether it is there, and has forgotten what this seat had told it.
        self.lost = self.forgotten = False

    def ask(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Have the worker call a function of ``cluster.work``, and return what it returns.

        Raises:
            LostError: the worker is gone, or has forgotten what it was told.
        """
        from distributed import CancelledError  # noqa: PLC0415  an extra
        from distributed.scheduler import KilledWorker  # noqa: PLC0415

        if self.lost:
            raise LostError(self.member.address)
        future = self.client.submit(
            function, *arguments, workers=[self.member.address], allow_other_workers=False, pure=False, retries=0
        )
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        try:
            # Not by the future's own timeout: cancelled while it is waited for, it ends that in an error of Dask's.
            while not (self.lost or future.done()):
                done.wait(_LOOK)
            if self.lost or future.cancelled():
                raise LostError(self.member.address)
            return future.result()
        except (CancelledError, KilledWorker, work.ForgottenError) as error:
            raise LostError(self.member.address) from error
        finally:
            future.release()

    def tell(self, function: Callable[..., Any], *arguments: object) -> None:
        """Have the worker call a function, without waiting."""
        from distributed import fire_and_forget  # noqa: PLC0415

        if not self.lost:
            fire_and_forget(
                self.client.submit(function, *arguments, workers=[self.member.address], pure=False, priority=10)
            )


class SeatedSession:
    """One implementation at one seat.

    Raises:
        UnstartedError: it does not start there.
        LostError: the worker is gone; so each time.
    """

    def __init__(self, seat: Seat, wanted: Wanted) -> None:
        self.seat, self.adapter, self._token = seat, wanted.adapter, uuid.uuid4().hex
        asked = replace(wanted, asker=seat.client.id, present=askers(seat.client))
        begun: Begun = decode(seat.ask(work.begin, self._token, encode(asked)), Begun)
        if begun.implementation is None:
            raise UnstartedError(wanted.adapter, f"{begun.error} (on {seat.member.address})", hint=begun.hint)
        self.implementation: Implementation = begun.implementation
        self.at_once = 4

    def cells(self, cases: Sequence[Case]) -> list[Cell]:
        """Put the cases, and return their cells in order; how long it took tells how many to put next time."""
        judged: Judged = decode(self.seat.ask(work.cells, self._token, encode(cases)), Judged)
        seconds = sum(row.seconds for _, row in judged.cells) + 0.002 * len(cases)
        self.at_once = max(1, min(_MOST, int(len(cases) * _A_TIME / seconds)))
        return [Cell(row, judged.columns[column]) for column, row in judged.cells]

    def search(self, asked: Search) -> Searched:
        """Judge a block of the fuzzer's cases."""
        found: Searched = decode(self.seat.ask(work.search, self._token, encode(asked)), Searched)
        return found

    def close(self) -> None:
        """End the host, where its worker is still there."""
        with suppress(LostError):
            self.seat.ask(work.end, self._token)

    def abort(self) -> None:
        """End the host, and wait for nothing."""
        self.seat.tell(work.end, self._token)
        self.seat.lost = True
