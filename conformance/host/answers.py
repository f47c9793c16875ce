"""Answers as they arrive, from a host or out of a bundle: decoded, and made into what the judge reads."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from conformance.errors import HostError
from conformance.host.frames import Frame
from conformance.host.messages import Failed, Failure, Ran
from conformance.host.observation import Observation, Outcome, Raised

__all__ = ["Fault", "answer_of", "observation_of", "told"]

T = TypeVar("T")
_NAME = re.compile(r"([0-9]{1,9}):(.+)", re.ASCII)


class Fault(Exception):  # noqa: N818  (the adapter's, told by the host)
    """A host answered that it, or its adapter, failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.step}: {failure.type}: {failure.message}")
        self.failure = failure


def answer_of(frame: Frame, kind: type[T]) -> tuple[T, Frame]:
    """Decode an answer of that kind.

    Raises:
        Fault: it says that host or adapter failed.
        HostError: it is malformed.
    """
    try:
        failed = msgspec.json.decode(frame.message, type=Failed)
        if failed.error is not None:
            raise Fault(failed.error)
        return msgspec.json.decode(frame.message, type=kind), frame
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise HostError(f"malformed answer: {error}; it starts with {frame.message[:200]!r}") from None


def told(failure: Failure) -> str:
    """Return one sentence, and the place in the code where it happened."""
    places = [line.strip() for line in failure.traceback.splitlines() if line.startswith("  File ")]
    place = f" (raised at {places[-1]})" if places else ""
    return f"{failure.step} failed: {failure.type}: {failure.message}{place}"


def observation_of(ran: Ran, frame: Frame, calls: int | None = None) -> Observation:
    """Return the outcomes of a case, which has so many ``calls``.

    Raises:
        HostError: an array is named like none, or the answer tells of another number of steps.
    """
    expected = 0 if ran.create.raises is not None else calls
    if expected is not None and len(ran.steps) != expected:
        raise HostError(f"the answer tells of {len(ran.steps)} steps, expected {expected}")
    outcomes: dict[tuple[int, str], Outcome] = {}
    for name, array in frame.arrays.items():
        named = _NAME.fullmatch(name)
        if named is None:
            raise HostError(f"the answer has an array {name[:80]!r}; expected names such as `1:y`")
        outcomes[int(named[1]), named[2]] = array
    for step, reply in enumerate((ran.create, *ran.steps)):
        if reply.raises is not None:
            outcomes[step, "outcome"] = Raised(reply.raises.type, reply.raises.message)
    return Observation(ran.dialect, ran.unsupported, outcomes, ran.seconds)
