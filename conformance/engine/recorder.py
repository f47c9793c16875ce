"""Keeps the results file of a run: cells as they finish, columns as they become known."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from conformance.engine.cell import Cell
from conformance.engine.column import joined
from conformance.errors import ResultsError
from conformance.report.page import REPORT_NAME
from conformance.results.read import RESULTS_NAME, Survey
from conformance.results.room import Room, with_room
from conformance.results.rows import ImplementationRow, RunRow
from conformance.results.writer import ResultsWriter

__all__ = ["Recorder"]

_HINT = (
    "name a folder on a disk with room that you may write to, with --output FOLDER; finished cells are kept, "
    "and with room --resume goes on from them"
)


#: Bytes of spaces for columns that join, a dozen of them; twice as many when those are not enough, and so on.
_ROOM = 2**14


class Recorder:
    """Writes ``results.jsonl`` in ``folder``.

    The first row names every column, and a column's exact versions are known only once its host
    has started: each new one is written into room that is kept for it. Where there is none, and when a column
    shows another option of its dialect, the file is written anew beside itself and put in place in one
    move, so that at any moment there is a readable file with all finished cells. A report of an earlier run in
    the folder is removed: it would be taken for this one's.

    Args:
        folder: where; no other recorder may write there meanwhile.
        run: the first row.
        kept: what an earlier run, now to be resumed, has left in the folder.

    Raises:
        ResultsError: the folder cannot be written, the disk is full, or another run writes there.
    """

    def __init__(self, folder: Path, run: RunRow, kept: Survey | None = None) -> None:
        self.path = folder / RESULTS_NAME
        self.run = run
        self.counts: dict[str, Counter[str]] = {}
        self._columns: dict[str, ImplementationRow] = {}
        self._shown: dict[str, list[ImplementationRow]] = {}
        self._cases: set[str] = set()
        self._room: Room | None = None
        self._size = _ROOM
        self._spaced = kept is not None  # what a killed run has left may have room in it
        self._started = time.monotonic()
        self._fresh = self.path.with_name(f"{self.path.stem}.new.jsonl")
        self._folder = self._locked(folder)
        try:
            self._open(kept)
        except BaseException:
            self.close()
            raise

    def _open(self, kept: Survey | None) -> None:
        if kept is not None:
            self._columns = {row.id: row for row in kept.run.implementations}
            self._cases = {case for case, _ in kept.verdicts}
            for (_, column), verdict in kept.verdicts.items():
                self.counts.setdefault(column, Counter())[verdict] += 1
        with self._told():
            self._begin() if kept is None else self._cut(kept.length)
            self._writer = ResultsWriter.appending(self.path, 0 if kept is None else len(kept.verdicts))
            self.path.with_name(REPORT_NAME).unlink(missing_ok=True)

    def _begin(self) -> None:
        # Beside it first: a kill in the middle of the row must leave no half a row behind.
        with ResultsWriter(self._fresh) as writer:
            writer.write_run(self.run)
        self._fresh.replace(self.path)

    def _cut(self, length: int) -> None:
        self._fresh.unlink(missing_ok=True)
        os.truncate(self.path, length)

    def _locked(self, folder: Path) -> int:
        """Return the folder, opened and locked; the kernel unlocks it whatever ends this process."""
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ResultsError(
                f"{folder}: another run writes to this folder", hint="wait for it, or name another with --output FOLDER"
            ) from None
        except OSError:  # a file system without locks
            pass
        return descriptor

    def add(self, cell: Cell) -> None:
        """Write one cell."""
        column = cell.implementation
        known = self._columns.get(column.id)
        if column not in self._shown.setdefault(column.id, []):  # what it declares of other layers is shown beside it
            self._shown[column.id].append(column)
            self._columns[column.id] = column if known is None else joined(known, column)
            if known is None:
                self._join(column)
            elif self._columns[column.id] != known:
                self._rewrite()
        with self._told():
            self._writer.write_cell(cell.row)
        self._cases.add(cell.row.case)
        self.counts.setdefault(column.id, Counter())[cell.row.verdict] += 1

    def lacks(self, why: Mapping[str, str]) -> None:
        """Name implementations that were asked for and could not be, each with the reason."""
        if why:
            self.run = msgspec.structs.replace(self.run, not_installed={**self.run.not_installed, **why})
            self._rewrite()

    @property
    def columns(self) -> Collection[ImplementationRow]:
        """Return the columns that are known."""
        return self._columns.values()

    @property
    def cells(self) -> int:
        """Return how many cells were written."""
        return self._writer.cells

    @property
    def cases(self) -> Collection[str]:
        """Return the ids of the cases that have a cell."""
        return self._cases

    def finish(self, *, complete: bool = True) -> None:
        """Write the end row, unless cells are missing, and close the file."""
        asked = tuple(case for case in self.run.cases if case.id in self._cases)
        if complete and asked != self.run.cases:
            self.run = msgspec.structs.replace(self.run, cases=asked)
            self._rewrite(room=0)
        elif self._spaced:
            self._rewrite(room=0)
        if complete:
            self._writer.write_end(round(time.monotonic() - self._started, 3))
        self.close()

    def close(self) -> None:
        """Close the file without an end row."""
        if hasattr(self, "_writer"):
            self._writer.close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _join(self, column: ImplementationRow) -> None:
        """Write a new column into the first row, which is written anew if it has no room."""
        with self._told():
            if self._room is not None and self._room.take(column):
                return
        if self._room is not None:
            self._size *= 2
        self._rewrite()

    def _rewrite(self, *, room: int | None = None) -> None:
        """Write the file anew with the columns known now, and room for others, its cells copied as they are."""
        room = self._size if room is None else room
        self._writer.close()
        run = msgspec.structs.replace(self.run, implementations=tuple(self._columns.values()))
        row, start, end = with_room(run, room)
        with self._told():
            self._fresh.write_bytes(row)
            with self.path.open("rb") as old, self._fresh.open("ab") as new:
                old.readline()
                shutil.copyfileobj(old, new)
            self._fresh.replace(self.path)
        self._writer = ResultsWriter.appending(self.path, self._writer.cells)
        self._room, self._spaced = Room(self.path, start, end, first=not self._columns), room > 0

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell an error of the operating system as one of results; what was half written is removed."""
        try:
            yield
        except (OSError, ResultsError) as error:
            with contextlib.suppress(OSError):
                self._fresh.unlink(missing_ok=True)
            raise ResultsError(self._said(error), hint=_HINT) from error

    def _said(self, error: OSError | ResultsError) -> str:
        if isinstance(error, ResultsError):
            return str(error.args[0])
        blocked = isinstance(error, FileExistsError | NotADirectoryError)
        said = "a file is where its folder would be" if blocked else error.strerror or error
        return f"{self.path}: cannot write results: {said}"
