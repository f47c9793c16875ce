"""What the verbs share that put one question: the case by its id, the host, and its answer."""

from __future__ import annotations

from pathlib import Path

from conformance.adapters import registry
from conformance.corpus.case import Case
from conformance.corpus.load import load_definitions
from conformance.corpus.select import select
from conformance.errors import AdapterError, ConformanceError, UsageError
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.session import HostSession

__all__ = ["CrashedError", "NoAnswerError", "answered", "case_named", "started"]

#: Seconds that one case may take: a compiler may need many.
_TIME_LIMIT = 300.0


class NoAnswerError(ConformanceError):
    """The suite itself failed: what came back says nothing of the implementation."""

    exit_code = 3


class CrashedError(ConformanceError):
    """The implementation ended its host."""

    exit_code = 1


def case_named(name: str, folder: Path | None = None) -> Case:
    """Return the one case of that id; a pattern will do that covers one only.

    Raises:
        UsageError: there is none, or there are several.
    """
    corpus = [case for definition in load_definitions(folder) for case in definition.cases]
    found = next((case for case in corpus if case.id == name), None)
    if found is not None:
        return found
    several = select(corpus, [name])
    if len(several) > 1:
        near = ", ".join(case.id for case in several[:3])
        raise UsageError(f"{name!r} covers {len(several)} cases, expected one", hint=f"give one of them: {near}, ...")
    return several[0]


def started(adapter: str) -> HostSession:
    """Return a session that asks an adapter.

    Raises:
        AdapterError: the name is unknown, or what it needs is not installed.
    """
    absent = registry.missing()
    if adapter in absent:
        raise AdapterError(f"adapter {adapter}: what it needs is not installed", hint=absent[adapter])
    registry.refuse_absent(adapter)
    return HostSession(adapter, time_limit=_TIME_LIMIT)


def answered(case: Case, session: HostSession) -> Observation:
    """Put the case and return what was observed.

    Raises:
        CrashedError: the implementation ended its host or ran past the time limit.
        NoAnswerError: the adapter or the host failed.
    """
    seen = session.observe(case)
    if isinstance(seen, Crashed):
        raise CrashedError(f"{session.adapter}: {seen.reason}")
    if isinstance(seen, Faulty):
        raise NoAnswerError(f"{session.adapter}: {seen.reason}")
    return seen
