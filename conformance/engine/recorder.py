"""Keeps the results file of a run: cells as they finish, columns as they become known."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from conformance.engine.cell import Cell
from conformance.engine.column import joined
from conformance.errors import ResultsError
from conformance.report.page import REPORT_NAME
from conformance.results.read import RESULTS_NAME
from conformance.results.rows import ImplementationRow, RunRow
from conformance.results.writer import ResultsWriter

__all__ = ["Recorder"]


class Recorder:
    """Writes ``results.jsonl`` in ``folder``.

    The first row names every column, and a column's exact versions are known only once its host
    has started: on each new one the file is written anew beside itself and put in place in one
    move, so that at any moment there is a readable file with all finished cells. A report of an
    earlier run in the folder is removed: it would be taken for this one's.

    Raises:
        ResultsError: the folder cannot be written, or the disk is full.
    """

    def __init__(self, folder: Path, run: RunRow) -> None:
        self.path = folder / RESULTS_NAME
        self.run = run
        self.counts: dict[str, Counter[str]] = {}
        self._columns: dict[str, ImplementationRow] = {}
        self._written: dict[str, ImplementationRow] = {}
        self._started = time.monotonic()
        self._writer = ResultsWriter(self.path)
        self._writer.write_run(run)
        self.path.with_name(REPORT_NAME).unlink(missing_ok=True)
        self._cases: set[str] = set()

    def add(self, cell: Cell) -> None:
        """Write one cell."""
        column = cell.implementation
        known = self._columns.get(column.id)
        self._columns[column.id] = column if known is None else joined(known, column)
        if known is None:
            self._rewrite()
        self._writer.write_cell(cell.row)
        self._cases.add(cell.row.case)
        self.counts.setdefault(column.id, Counter())[cell.row.verdict] += 1

    def lacks(self, why: Mapping[str, str]) -> None:
        """Name implementations that were asked for and could not be, each with the reason."""
        if why:
            self.run = msgspec.structs.replace(self.run, not_installed={**self.run.not_installed, **why})
            self._rewrite()

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
            self._rewrite()
        elif self._written != self._columns:
            self._rewrite()
        if complete:
            self._writer.write_end(round(time.monotonic() - self._started, 3))
        self._writer.close()

    def close(self) -> None:
        """Close the file without an end row."""
        self._writer.close()

    def _rewrite(self) -> None:
        """Write the file anew with the columns known now, its cells copied as they are."""
        self._writer.close()
        run = msgspec.structs.replace(self.run, implementations=tuple(self._columns.values()))
        fresh = self.path.with_name(f"{self.path.stem}.new.jsonl")
        try:
            with ResultsWriter(fresh) as writer:
                writer.write_run(run)
            with self.path.open("rb") as old, fresh.open("ab") as new:
                old.readline()
                shutil.copyfileobj(old, new)
            fresh.replace(self.path)
        except OSError as error:
            raise ResultsError(
                f"{self.path}: cannot write results: {error.strerror or error}",
                hint="name a folder on a disk with room, with --output FOLDER; finished cells are kept",
            ) from error
        finally:
            fresh.unlink(missing_ok=True)
        self._writer = ResultsWriter.appending(self.path, self._writer.cells)
        self._written = dict(self._columns)
