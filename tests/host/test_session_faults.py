"""Sessions whose hosts do not start, die, hang or talk nonsense."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.corpus.case import Case
from conformance.errors import AdapterError, HostError, UnstartedError
from conformance.host.configuration import ConfiguredHost
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.patience import IN_A_ROW
from conformance.host.session import HostSession

Sessions = Callable[..., HostSession]
Cases = Callable[..., Case]
EVALUATE = [{"evaluate": "a"}]


CRASHES = [
    ("Exits", "ended with exit status 7"),
    ("Exits", "that was all"),
    ("Segfaults", "was killed by SIGSEGV"),
    ("NeverReturns", "no answer within the time limit of 1 s"),
]


@pytest.mark.parametrize(("fake", "reason"), CRASHES, ids=[" ".join(entry) for entry in CRASHES])
def test_a_crash_is_isolated(session: Sessions, case: Cases, fake: str, reason: str) -> None:
    """A host that dies or hangs costs its own case only: the next one is answered by another."""
    fragile = session(fake, time_limit=1)
    seen = fragile.observe(case(steps=EVALUATE))
    assert isinstance(seen, Crashed)
    assert reason in seen.reason
    assert isinstance(fragile.observe(case()), Observation)


def test_a_host_that_does_not_start_again(
    session: Sessions, case: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case that it was to be asked is void, not crashed; after so many in a row nothing more is started."""
    fragile, tries = session("Exits"), []

    def refuse() -> None:
        tries.append(1)
        raise HostError("no more processes")

    assert isinstance(fragile.observe(case(steps=EVALUATE)), Crashed)
    monkeypatch.setattr(fragile._keeper, "_start", refuse)
    monkeypatch.setattr("conformance.host.patience.LOST", 0.0)
    seen = [fragile.observe(case()) for _ in range(IN_A_ROW + 5)]
    assert Faulty("the host does not start again: no more processes") == seen[0]
    assert all(isinstance(one, Faulty) for one in seen)
    assert len(tries) < IN_A_ROW
    assert Faulty("not asked: the host did not start again for any of the 10 that were asked last") == seen[-1]


def test_an_aborted_session_starts_nothing(session: Sessions) -> None:
    """Nothing is started after an abort, be it the first time."""
    aborted = session("Sound")
    aborted.abort()
    with pytest.raises(UnstartedError, match="aborted"):
        aborted.implementation  # noqa: B018


def test_a_time_out_leaves_no_process_behind(session: Sessions, case: Cases) -> None:
    """What a hanging host had started is killed with it."""
    fragile = session("NeverReturns", time_limit=1)
    assert isinstance(fragile.observe(case(steps=EVALUATE)), Crashed)
    deadline = time.monotonic() + 5
    while (left := _processes("left behind by a fake")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [] == left


def _processes(mark: str) -> list[bytes]:
    """Return the command lines with the mark in them; a process that has ended has none."""
    found: list[bytes] = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(command.read_bytes())
    return [line for line in found if mark.encode() in line]


FAULTS = [
    ("RaisesInDialect", "dialect_for failed: RuntimeError: no idea (raised at "),
    ("RaisesInUnsupported", "unsupported failed: RuntimeError: no idea (raised at "),
    ("WrongType", "answer failed: HostError: 1:y has dtype object, which cannot travel"),
]


@pytest.mark.parametrize(("fake", "reason"), FAULTS, ids=[entry[0] for entry in FAULTS])
def test_a_fault_of_the_adapter_is_void(session: Sessions, case: Cases, fake: str, reason: str) -> None:
    """What can only be the adapter's own fault is told as such, and where it happened."""
    seen = session(fake).observe(case(steps=EVALUATE))
    assert isinstance(seen, Faulty)
    assert reason in seen.reason


REFUSALS = [
    ("fakes:RaisesInDescribe", "describe failed: RuntimeError: who am I? (raised at "),
    ("fakes:RefusesToBeBuilt", "import failed: RuntimeError: no licence"),
    ("fakes:NoSuchClass", "import failed: AdapterError: module fakes has no NoSuchClass"),
    ("fakes:NotAnAdapter", "import failed: AdapterError: fakes:NotAnAdapter is not an adapter"),
    ("no_such_module:Adapter", "import failed: ModuleNotFoundError: No module named 'no_such_module'"),
    ("raises_at_import:Adapter", "import failed: OSError: libfancy.so: cannot open"),
    ("exits_at_import:Adapter", "the host does not start: the host ended with exit status 3"),
]


@pytest.mark.parametrize(("adapter", "message"), REFUSALS, ids=[entry[0] for entry in REFUSALS])
@pytest.mark.usefixtures("session")
def test_a_failed_start_is_one_message(case: Cases, adapter: str, message: str) -> None:
    """An adapter that does not start says why, the same for its name and for every case."""
    with HostSession(adapter) as broken:
        with pytest.raises(AdapterError, match="hint: ") as first:
            assert broken.implementation
        with pytest.raises(AdapterError) as second:
            broken.observe(case())
    assert f"adapter {adapter}: {message}" in str(first.value)
    assert str(first.value) == str(second.value)


def test_a_start_has_its_own_limit(session: Sessions) -> None:
    """A host that does not get ready in time is reported, not waited for."""
    with pytest.raises(AdapterError, match=r"does not start: no answer within the time limit of 0\.01 s"):
        assert session("Sound", start_limit=0.01).implementation


FOREIGN = [
    ("print('Loading model, please wait...', flush=True)", "not a message: it starts with b'Loading '"),
    ("import sys; sys.stdout.buffer.write(frame('{\"nonsense\": 1}')); sys.stdout.flush()", "malformed answer"),
]
_FRAME = """
import json, time
def frame(message):
    header = json.dumps({"__metadata__": {"message": message}}).encode()
    return len(header).to_bytes(8, "little") + header
"""


@pytest.mark.parametrize(("script", "message"), FOREIGN, ids=["banner", "unknown answer"])
def test_a_foreign_host_is_held_to_the_protocol(script: str, message: str) -> None:
    """A host in another program that answers with something else is refused with what it sent."""
    command = ("python3", "-c", f"{_FRAME}\n{script}\ntime.sleep(60)")
    host = ConfiguredHost(name="mine", command=command, place="hosts.yaml:1", directory=Path.cwd())
    with HostSession("mine", host=host) as foreign, pytest.raises(AdapterError) as refusal:
        assert foreign.implementation
    assert message in str(refusal.value)


def test_quick_crashes_are_all_asked_for(session: Sessions, case: Cases) -> None:
    """However many cases in a row take the host down, each is asked, and what lies behind them is answered."""
    dying = session("Exits")
    seen = [dying.observe(case(steps=EVALUATE)) for _ in range(IN_A_ROW + 2)]
    assert {True} == {isinstance(one, Crashed) and "took its host down" in one.reason for one in seen}
    assert isinstance(dying.observe(case()), Observation)


def test_patience_ends(session: Sessions, case: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where crashes in a row took long, ten cases are left out before one is asked again, which may be answered."""
    monkeypatch.setattr("conformance.host.patience.LOST", 0.0)
    dying, evaluating = session("Exits"), case(steps=EVALUATE)
    seen = [dying.observe(evaluating) for _ in range(2 * IN_A_ROW)]
    told = "not asked: the 10 that were asked last took the host down or ran past their time"
    assert [False] * IN_A_ROW + [True] * IN_A_ROW == [isinstance(one, Crashed) and told == one.reason for one in seen]
    assert isinstance(dying.observe(case()), Observation)
