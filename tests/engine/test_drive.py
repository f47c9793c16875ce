"""What workers share: cases go round until each is done once, whoever is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from conformance.adapters.contract import Implementation
from conformance.corpus.case import Case
from conformance.engine.cell import Cell, cell_of
from conformance.engine.drive import Drive
from conformance.engine.resume import NOTHING
from conformance.engine.schedule import Schedule
from conformance.errors import AdapterError

Sessions = Callable[..., Any]


class GoneError(Exception):
    """The worker is lost."""


@dataclass
class Seated:
    """A fake session at a worker that is lost after so many cells, or has another version."""

    session: Any
    lost_after: int = 1000
    version: str = "1.0"
    adapter: str = "fake"
    at_once: int = 3

    @property
    def implementation(self) -> Implementation:
        return Implementation(name="fake", versions={"fake": self.version})

    def cells(self, cases: Sequence[Case]) -> Iterator[Cell]:
        for case in cases:
            if self.lost_after == 0:
                raise GoneError
            self.lost_after -= 1
            yield cell_of(case, self.session, ())

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.fixture
def many(cases: tuple[Case, ...]) -> list[Case]:
    return [msgspec.structs.replace(case, id=f"{case.id}-{k}") for k in range(20) for case in cases]


def test_a_session_that_opens_after_the_end_is_aborted(session: Sessions, many: list[Case]) -> None:
    """A worker that was starting when the run was stopped starts no host, and gives no cell."""
    aborted, done = [], []

    class Late(Seated):
        def abort(self) -> None:
            aborted.append(self)

    drive: Drive[str] = Drive(Schedule(many, ["fake"]), done.append, NOTHING)

    def start(_: str) -> Late:
        drive.stop()
        return Late(session("Sound"))

    drive.work(start)
    assert (1, []) == (len(aborted), done)


def test_what_a_lost_worker_had_taken_is_done_by_another(session: Sessions, many: list[Case]) -> None:
    """Cells that had come are kept, those that had not are asked again, each once."""
    cells: list[Cell] = []
    drive = Drive(Schedule(many, ["fake"]), cells.append, NOTHING)
    with pytest.raises(GoneError):
        drive.work(lambda _: Seated(session(), lost_after=7))
    assert 7 == len(cells)
    drive.work(lambda _: Seated(session()))
    assert sorted(case.id for case in many) == sorted(cell.row.case for cell in cells)
    assert [] == drive.failed


def test_another_version_at_another_worker_is_left_out(session: Sessions, many: list[Case]) -> None:
    """One column is of one version: a worker that has another is told so, once it is the only one left."""
    drive = Drive(Schedule(many, ["fake"]), lambda _: None, NOTHING)
    with pytest.raises(GoneError):
        drive.work(lambda _: Seated(session(), lost_after=7))
    drive.work(lambda _: Seated(session(), version="2.0"))
    assert ["fake is fake@1.0:eager:cpu at one worker and fake@2.0:eager:cpu at another"] == [
        str(error.args[0]) for error in drive.failed
    ]


def test_what_does_not_start_at_one_worker_is_left_to_others(session: Sessions, many: list[Case]) -> None:
    """A worker that cannot start it, and comes first, does not end it for others who may try."""
    cells: list[Cell] = []
    drive = Drive(Schedule(many, ["fake"]), cells.append, NOTHING)
    unfit: set[str] = set()

    def absent(_: str) -> Seated:
        raise AdapterError("not installed here")

    def others(name: str) -> bool:
        unfit.add(name)
        return True

    drive.work(absent, lambda name: name not in unfit, others)
    drive.work(lambda _: Seated(session()))
    assert [] == drive.failed
    assert len(many) == len(cells)


def test_a_worker_takes_what_it_can(session: Sessions, many: list[Case]) -> None:
    """Implementations that a worker is not for are left for others."""
    asked: list[str] = []
    drive = Drive(Schedule(many, ["here", "there"]), lambda _: None, NOTHING)

    def start(name: str) -> Seated:
        asked.append(name)
        return Seated(session())

    drive.work(start, lambda name: name == "there")
    assert ["there"] == asked
    assert ["here"] == [column.start for column in drive.schedule.unfinished()]


def test_nobody_takes_all_that_is_left(session: Sessions, many: list[Case]) -> None:
    """However many are best given together, half of what is left stays for others."""
    schedule: Schedule[str] = Schedule(many, ["fake"])
    column = schedule.next()
    assert column is not None
    assert 20 == len(schedule.cases(column, 1000))
    assert 10 == len(schedule.cases(column, 1000))
