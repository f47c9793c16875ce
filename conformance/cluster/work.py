"""What a Dask worker does for a run: it keeps hosts of its own, puts cases to them and judges the answers.

Arguments and results are JSON, so that nothing but text of the suite's own records goes over the network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from conformance import __version__
from conformance.cluster.messages import Begin, Begun, Judged, Search, Searched, decode, encode
from conformance.corpus.case import Case
from conformance.engine.cell import cells_of
from conformance.engine.limits import default_memory_limit
from conformance.errors import ConformanceError
from conformance.host.session import HostSession
from conformance.results.rows import ImplementationRow
from conformance.verdict.deviations import Deviation

__all__ = ["ForgottenError", "begin", "cells", "end", "search"]


class ForgottenError(Exception):
    """No session has this token: the worker was started anew, or nobody had asked for long."""


@dataclass
class _Kept:
    session: HostSession
    deviations: tuple[Deviation, ...]
    asker: str
    busy: bool = False
    used: float = field(default_factory=time.monotonic)


#: Seconds for which a session is kept although its asker is not known to be there: one who has just come may not
#: have been there yet when another looked.
_GRACE = 10.0
#: The sessions of this worker, by the token that its asker gave them.
_sessions: dict[str, _Kept] = {}
_lock = threading.Lock()


def begin(token: str, text: bytes) -> bytes:
    """Start an implementation, to be asked under the token; that it does not start is an answer too."""
    asked: Begin = decode(text, Begin)
    _end_forgotten(asked.present)
    if asked.suite != __version__:
        return encode(Begun(error=f"this worker has the suite {__version__}, the run is of {asked.suite}",
                            hint="install one version everywhere"))  # fmt: skip
    try:
        session = HostSession(
            asked.adapter, time_limit=asked.time_limit, device=asked.device, host=asked.host,
            memory_limit=min(asked.memory_limit, int(default_memory_limit() * 2**30)),
        )  # fmt: skip
        who = session.implementation
    except ConformanceError as error:
        return encode(Begun(error=str(error.args[0]), hint=error.hint))
    with _lock:
        _sessions[token] = _Kept(session, asked.deviations, asked.asker)
    return encode(Begun(implementation=who))


def cells(token: str, text: bytes) -> bytes:
    """Put cases, and return their cells in order.

    Raises:
        ForgottenError: there is no such session (any more).
    """
    columns: list[ImplementationRow] = []
    judged = []
    cases: Sequence[Case] = decode(text, tuple[Case, ...])
    with _used(token) as kept:
        for cell in cells_of(cases, kept.session, kept.deviations):
            if cell.implementation not in columns:
                columns.append(cell.implementation)
            judged.append((columns.index(cell.implementation), cell.row))
    return encode(Judged(tuple(columns), tuple(judged)))


def search(token: str, text: bytes) -> bytes:
    """Judge one block of the fuzzer's cases.

    Raises:
        ForgottenError: there is no such session (any more).
    """
    from conformance.fuzz.search import Hosted  # noqa: PLC0415 Hypothesis is an extra
    from conformance.fuzz.search import search as searched  # noqa: PLC0415 Hypothesis is an extra

    asked: Search = decode(text, Search)
    with _used(token) as kept:
        found = searched(
            Hosted(kept.session), examples=asked.examples,
            seconds=float("inf") if asked.seconds is None else asked.seconds,
            start=asked.seed, first=asked.block, deviations=kept.deviations,
        )  # fmt: skip
    counts: dict[str, Any] = {"examples": found.examples, "verdicts": dict(found.verdicts), "known": dict(found.known)}
    if (witness := found.witness) is None:
        return encode(Searched(**counts))
    return encode(Searched(**counts, case=witness.case, verdict=witness.verdict, explanation=witness.explanation,
                           clauses=witness.clauses))  # fmt: skip


def end(token: str) -> None:
    """End the host; that it is not there any more is no matter."""
    with _lock:
        kept = _sessions.pop(token, None)
    if kept is not None:
        kept.session.abort()
        kept.session.close()


@contextmanager
def _used(token: str) -> Iterator[_Kept]:
    with _lock:
        kept = _sessions.get(token)
        if kept is None:
            raise ForgottenError(token)
        kept.busy = True
    try:
        yield kept
    finally:
        with _lock:
            kept.busy, kept.used = False, time.monotonic()


def _end_forgotten(present: Sequence[str]) -> None:
    """End the sessions of those who are not there any more: they were killed."""
    now = time.monotonic()
    with _lock:
        gone = [
            token for token, kept in _sessions.items()
            if kept.asker not in present and not kept.busy and now - kept.used > _GRACE
        ]  # fmt: skip
    for token in gone:
        end(token)
