"""A run on this machine: every case on every implementation, whatever befalls one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.engine.cell import Cell
from conformance.engine.local import run_cells
from conformance.engine.resume import Finished
from conformance.errors import AdapterError, ResultsError
from conformance.host.observation import Observation

Sessions = Callable[..., Any]
Cases = tuple[Case, ...]


def run(cases: Cases, *sessions: Any, workers: int = 2, done: Any = None) -> tuple[list[Cell], list[AdapterError]]:
    cells: list[Cell] = []
    failed = run_cells(
        cases, [partial(_same, session) for session in sessions], workers=workers, deviations=(),
        done=cells.append if done is None else done,
    )  # fmt: skip
    return cells, failed


def _same(session: Any) -> Any:
    return session


def unstartable(case: Case) -> Observation:
    raise AdapterError("adapter broken: no licence")


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_cell_is_done_once(session: Sessions, cases: Cases, workers: int) -> None:
    """Each implementation gets every case once, with any number of workers, and is closed."""
    sessions = [session(name=name) for name in ("one", "two", "three")]
    cells, failed = run(cases, *sessions, workers=workers)
    assert [] == failed
    for name in ("one", "two", "three"):
        asked = [cell.row.case for cell in cells if cell.implementation.name == name]
        assert ["made/evaluate", "made/train"] == sorted(asked)
    assert [True, True, True] == [one.closed for one in sessions]


@pytest.mark.parametrize("workers", [1, 2])
def test_one_that_does_not_start_costs_no_other(session: Sessions, cases: Cases, workers: int) -> None:
    """An adapter that cannot be started is told; the others are complete."""
    cells, failed = run(cases, session(fault=unstartable), session(name="sound"), workers=workers)
    assert ["adapter broken: no licence"] == [str(error) for error in failed]
    assert ["made/evaluate", "made/train"] == sorted(cell.row.case for cell in cells)


def test_one_that_is_not_found_costs_no_other(session: Sessions, cases: Cases) -> None:
    """An adapter whose session cannot even be made is told likewise."""

    def absent() -> Any:
        raise AdapterError("no such adapter")

    cells: list[Cell] = []
    failed = run_cells(cases, [absent, partial(_same, session())], workers=1, deviations=(), done=cells.append)
    assert ["no such adapter"] == [str(error) for error in failed]
    assert 2 == len(cells)


def test_cells_are_taken_one_at_a_time(session: Sessions, cases: Cases) -> None:
    """What receives the cells is never called by two workers at once."""
    inside = threading.Lock()
    free: list[bool] = []

    def done(cell: Cell) -> None:
        free.append(inside.acquire(blocking=False))
        inside.release()

    run(cases * 50, session(name="one"), session(name="two"), done=done)
    assert [True] * 200 == free


@pytest.mark.parametrize("error", [ResultsError("disk full"), KeyboardInterrupt()], ids=["disk full", "interrupt"])
def test_an_end_before_its_time_kills_the_hosts(session: Sessions, cases: Cases, error: BaseException) -> None:
    """What ends a run is raised at once: hosts are killed, and their last words are not taken for outcomes."""
    waiting, killed, taken = threading.Event(), threading.Event(), []

    def hangs(case: Case) -> Observation:
        waiting.set()
        assert killed.wait(10), "nobody killed the host"
        raise OSError("the pipe is gone")

    slow, quick = session(name="slow", fault=hangs), session(name="quick")
    slow.abort = killed.set

    def done(cell: Cell) -> None:
        assert waiting.wait(10)
        taken.append(cell)
        raise error

    with pytest.raises(type(error)):
        run(cases, slow, quick, done=done)
    assert [("quick", "made/train")] == [(cell.implementation.name, cell.row.case) for cell in taken]
    assert slow.closed
    assert quick.closed


def test_idle_workers_help_with_what_takes_longest(session: Sessions, cases: Cases) -> None:
    """With more workers than implementations, a slow one is put to several hosts, and each case is asked once."""
    made: list[Any] = []

    def slow(case: Case) -> Observation:
        time.sleep(0.02)
        seen: Observation = session().observe(case)
        return seen

    def start() -> Any:
        made.append(session(fault=slow))
        return made[-1]

    many = [msgspec.structs.replace(case, id=f"{case.id}-{k}") for k in range(40) for case in cases]
    cells: list[Cell] = []
    run_cells(many, [start], workers=3, deviations=(), done=cells.append)
    assert 3 == len(made)
    assert sorted(case.id for case in many) == sorted(cell.row.case for cell in cells)


def test_an_implementation_is_started_once_by_one_worker(session: Sessions, cases: Cases) -> None:
    """One worker starts each implementation once, one after the other."""
    made: list[str] = []

    def start(name: str) -> Any:
        made.append(name)
        return session(name=name)

    run_cells(cases, [partial(start, name) for name in "abc"], workers=1, deviations=(), done=lambda _: None)
    assert ["a", "b", "c"] == made


def test_what_is_finished_is_not_asked(session: Sessions, cases: Cases) -> None:
    """Cells that an earlier run has left are not asked again."""
    finished = Finished(frozenset({"fake@1.0:eager:cpu"}), frozenset({("made/train", "fake@1.0:eager:cpu")}))
    cells: list[Cell] = []
    run_cells(
        cases, [session, partial(session, name="other")], workers=1, deviations=(), done=cells.append, finished=finished
    )
    asked = [(cell.implementation.name, cell.row.case) for cell in cells]
    assert [("fake", "made/evaluate"), ("other", "made/train"), ("other", "made/evaluate")] == asked
