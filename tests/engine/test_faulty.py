"""Faulty implementations: each fault is the verdict of its own cell, told plainly, and costs no neighbour."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.engine.cell import cell_of, cells_of
from conformance.host.session import HostSession
from conformance.results.rows import CellRow

FAKES = Path(__file__).parents[1] / "fakes"


def case(name: str, **changes: object) -> Case:
    made = {"id": f"made/{name}", "fact": "It is made up.", "clauses": ["1.1"], "shape": "5x3", **changes}
    return msgspec.convert(made, Case)


Asked = Callable[..., list[CellRow]]

BEFORE = case("before", steps=[{"train": "a"}])
FAULT = case("fault", steps=[{"evaluate": "a", "gradients": ["x", "gamma"]}])
AFTER = case("after", steps=[{"train": "a"}])


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKES), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("FLAKY_COUNTER", str(tmp_path / "counter"))


@pytest.fixture(params=["in turn", "ahead"])
def asked(request: pytest.FixtureRequest) -> Callable[..., list[CellRow]]:
    """Return what puts cases to a session: one after the other, or each while the one before it is judged."""

    def ask(session: HostSession, *cases: Case) -> list[CellRow]:
        if request.param == "ahead":
            return [cell.row for cell in cells_of(cases, session)]
        return [cell_of(case, session).row for case in cases]

    return ask


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[HostSession]:
    limit = 1 if request.param in ("Loops", "AnswersLate") else 60
    with HostSession(f"faulty:{request.param}", time_limit=limit, memory_limit=2**29) as made:
        yield made


# the implementation, the verdict on evaluating, what the explanation says
FAULTS = [
    ("Segfaults", "crashed", "the implementation took its host down: the host was killed by SIGSEGV"),
    ("Aborts", "crashed", "the implementation took its host down: the host was killed by SIGABRT"),
    ("Exits", "crashed", "the implementation took its host down: the host ended with exit status 3"),
    ("KillsItself", "crashed", "the host was killed by SIGKILL, 3 times; the machine may have run out of memory"),
    ("Loops", "crashed", "the implementation did not answer: no answer within the time limit of 1 s"),
    ("AnswersLate", "crashed", "the implementation did not answer: no answer within the time limit of 1 s"),
    ("Hoards", "crashed", "MiB of memory, more than the limit of 512 MiB"),
    ("Babbles", "void", "the host does not keep to the protocol: not a message: it starts with b'Loading '"),
    ("WrongShape", "differs", "shape (4, 3), expected (5, 3)"),
    ("TooManyRows", "differs", "shape (10, 3), expected (5, 3)"),
    ("TooFew", "differs", "dgamma is missing"),
    ("WrongDtype", "differs", "dtype float16, expected float32"),
    ("NotANumber", "differs", "y (step 1)"),
    ("Raises", "differs", "raised MemoryError, expected an answer"),
    ("Flaky", "differs", "flaky: asked twice, the same case agrees; y (step 1): "),
    ("CrashesOnce", "crashed", "flaky: asked twice, the same case agrees; the implementation took its host down"),
]


@pytest.mark.parametrize(
    ("session", "verdict", "why"), FAULTS, ids=[fault[0] for fault in FAULTS], indirect=["session"]
)
def test_a_fault_is_that_of_its_cell(asked: Asked, session: HostSession, verdict: str, why: str) -> None:
    """The faulty cell has its verdict and says why; those before and after it agree."""
    before, fault, after = asked(session, BEFORE, FAULT, AFTER)
    assert ("agrees", verdict, "agrees") == (before.verdict, fault.verdict, after.verdict)
    assert why in fault.explanation


@pytest.mark.parametrize("session", ["Exits"], indirect=True)
def test_the_guilty_alone_have_crashed(asked: Asked, session: HostSession) -> None:
    """Whatever many cases take the host down one after the other, those between and behind them are answered."""
    faults = [case(f"fault-{number}", steps=[{"evaluate": "a"}]) for number in range(11)]
    rows = asked(session, *faults, AFTER, *faults[:2], BEFORE)
    assert ["crashed"] * 11 + ["agrees"] + ["crashed"] * 2 + ["agrees"] == [row.verdict for row in rows]


@pytest.mark.parametrize("session", ["Leaks"], indirect=True)
def test_a_leak_between_cases_is_told(asked: Asked, session: HostSession) -> None:
    """A case that differs after others, and agrees in a host of its own, is said to depend on what was asked before."""
    before, fault, after = asked(session, BEFORE, FAULT, AFTER)
    assert ("agrees", "agrees", "differs") == (before.verdict, fault.verdict, after.verdict)
    said = "depends on what was asked before: to a host of its own the same case agrees; running_mean (step 1)"
    assert after.explanation.startswith(said)


@pytest.mark.parametrize("session", ["Sound"], indirect=True)
def test_a_host_that_others_kill_costs_nothing(asked: Asked, session: HostSession) -> None:
    """Hosts that are killed while they work, or between two cases, leave the verdicts as they would have been."""
    slow = case("slow", steps=[{"train": "a"}], repeat=200)
    over, killed = threading.Event(), []

    def kill() -> None:
        while len(killed) < 2:  # one more, and it might have been the implementation
            time.sleep(1)
            with contextlib.suppress(AttributeError, ProcessLookupError):  # it is just being started again
                os.kill(session._keeper.channel._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
                killed.append(1)
        over.set()

    rows, deadline = asked(session, BEFORE), time.monotonic() + 120
    threading.Thread(target=kill, daemon=True).start()
    while not over.is_set() and time.monotonic() < deadline:
        rows += asked(session, slow, AFTER)
    assert over.is_set()
    assert {("agrees", "")} == {(row.verdict, row.explanation) for row in rows}
