"""Cases asked ahead: each gets its own answer, and what goes wrong is told of nobody else."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.configuration import ConfiguredHost
from conformance.host.observation import Crashed, Observation
from conformance.host.session import HostSession

Sessions = Callable[..., HostSession]
Cases = Callable[..., Case]
EVALUATE = [{"evaluate": "a"}]


def is_answered(seen: object, case: Case) -> bool:
    """Tell whether ``seen`` is what the fakes make of the case: its input doubled."""
    if not isinstance(seen, Observation):
        return False
    return np.array_equal(2 * generate(case)["x:a"], np.asarray(seen.outcomes[1, "y"]))


@pytest.fixture
def two(case: Cases) -> tuple[Case, Case]:
    """Return two cases with inputs of their own."""
    return case(id="made/one", shape="4x3"), case(id="made/two", shape="5x3")


def is_sent(session: HostSession) -> bool:
    """Tell whether a request has been sent whose answer was not read, and leave it so."""
    case = session._ahead.take()
    if case is not None:
        session._ahead.sent(case)
    return case is not None


def test_a_case_asked_ahead_gets_its_own_answer(session: Sessions, two: tuple[Case, Case]) -> None:
    """The request goes out before the case is observed, and its answer is that to the case."""
    one, other = two
    asked = session("Sound")
    asked.observe(one)
    asked.ask_ahead(other)
    assert is_sent(asked)
    assert is_answered(asked.observe(other), other)


def test_another_case_may_come_first(session: Sessions, two: tuple[Case, Case]) -> None:
    """A case in between gets its own answer, and the one asked ahead is not asked again."""
    one, other = two
    asked = session("Sound")
    asked.observe(one)
    asked.ask_ahead(other)
    assert is_answered(asked.observe(one), one)
    assert asked._ahead._kept is not None
    assert is_answered(asked.observe(other), other)
    assert asked._ahead._kept is None


def test_the_first_case_is_not_asked_ahead(session: Sessions, two: tuple[Case, Case]) -> None:
    """Before the host has shown that it marks its answers nothing is sent ahead."""
    asked = session("Sound")
    asked.implementation  # noqa: B018
    asked.ask_ahead(two[0])
    assert not is_sent(asked)


def test_without_a_process_nothing_is_asked_ahead(
    session: Sessions, two: tuple[Case, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process each case is asked when it is observed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    one, other = two
    asked = session("Sound", in_process=True)
    asked.observe(one)
    asked.ask_ahead(other)
    assert not is_sent(asked)
    assert is_answered(asked.observe(other), other)


def test_a_crash_ahead_is_that_of_its_case(session: Sessions, case: Cases) -> None:
    """A case that takes the host down when it is asked ahead has crashed, and the next one is answered."""
    good, guilty = case(id="made/good"), case(id="made/guilty", steps=EVALUATE)
    asked = session("Exits")
    asked.observe(good)
    asked.ask_ahead(guilty)
    seen = asked.observe(guilty)
    assert isinstance(seen, Crashed)
    assert "ended with exit status 7" in seen.reason
    assert is_answered(asked.observe(good), good)


def test_a_time_limit_holds_ahead(session: Sessions, case: Cases) -> None:
    """A case that never returns is ended although it was asked before it was waited for."""
    good, guilty = case(id="made/good"), case(id="made/guilty", steps=EVALUATE)
    asked = session("NeverReturns", time_limit=1)
    asked.observe(good)
    asked.ask_ahead(guilty)
    seen = asked.observe(guilty)
    assert isinstance(seen, Crashed)
    assert "no answer within the time limit of 1 s" in seen.reason


def test_a_host_at_work_ahead_is_closed_at_once(session: Sessions, case: Cases) -> None:
    """Closing does not wait for an answer that nobody will read."""
    good, guilty = case(id="made/good"), case(id="made/guilty", steps=EVALUATE)
    asked = session("NeverReturns")
    asked.observe(good)
    asked.ask_ahead(guilty)
    process = asked._keeper.channel._process  # type: ignore[union-attr]
    asked.close()
    assert process.returncode is not None
    assert is_answered(asked.observe(good), good)


_HOST = """
import json, sys
sys.path.insert(0, {fakes!r})
from conformance.adapters.registry import find, load
from conformance.host import worker
from conformance.host.frames import Frame, encode
from conformance.host.service import Service

service, first = Service(lambda: load(find("fakes:Sound"))), []

def read(count):
    return bytearray(sys.stdin.buffer.read(count))

def say(frame):
    sys.stdout.buffer.write(encode(frame))
    sys.stdout.buffer.flush()

while True:
    asked = worker.read_frame(read)
    answer = service.answer(asked)
    if answer is None:
        break
{body}
"""


@pytest.fixture
def scripted(session: Sessions) -> Iterator[Callable[[str], HostSession]]:
    """Return a maker of sessions with a host that says its answers as a few lines of Python have it."""
    opened: list[HostSession] = []

    def make(body: str) -> HostSession:
        script = _HOST.format(fakes=str(Path(__file__).parent), body=textwrap.indent(textwrap.dedent(body), " " * 4))
        command = (sys.executable, "-c", script)
        host = ConfiguredHost(name="mine", command=command, place="hosts.yaml:1", directory=Path.cwd())
        opened.append(HostSession("mine", host=host))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_a_host_that_marks_no_answer_is_asked_in_turn(
    scripted: Callable[[str], HostSession], two: tuple[Case, Case]
) -> None:
    """Without the token of the request nobody could tell a late answer from the next: nothing is sent ahead."""
    one, other = two
    asked = scripted("say(Frame(answer.message, answer.arrays))")
    assert is_answered(asked.observe(one), one)
    asked.ask_ahead(other)
    assert not is_sent(asked)
    assert is_answered(asked.observe(other), other)


def test_a_late_second_answer_is_not_taken_for_the_next(
    scripted: Callable[[str], HostSession], two: tuple[Case, Case]
) -> None:
    """A host that answers once more when the next request comes: the next case has its own answer."""
    one, other = two
    asked = scripted("""
        if first and asked.token != first[0].token:
            say(first.pop())
        say(answer)
        if asked.token == "made/one":
            first.append(answer)
    """)
    assert is_answered(asked.observe(one), one)
    asked.ask_ahead(other)
    assert is_sent(asked)
    assert is_answered(asked.observe(other), other)
    asked.ask_ahead(one)
    assert not is_sent(asked), "it is asked in turn from then on"


def test_a_host_that_always_answers_another_request_breaks_the_protocol(
    scripted: Callable[[str], HostSession], two: tuple[Case, Case]
) -> None:
    """It is told with the two tokens."""
    asked = scripted('say(Frame(answer.message, answer.arrays, asked.token and "made/else"))')
    seen = asked.observe(two[0])
    said = "the host does not keep to the protocol: it answers with the token 'made/else', expected 'made/one'"
    assert said == getattr(seen, "reason", "")
