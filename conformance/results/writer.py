"""Writing a results file, a row at a time, so that a crash loses nothing that was known."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import msgspec

from conformance.errors import ResultsError
from conformance.results.read import RESULTS_NAME, Results
from conformance.results.rows import CellRow, EndRow, Number, QuantityRow, Row, RunRow, number

__all__ = ["ResultsWriter", "write_results"]

_NUMBERS = ("ratio", "bound", "plain_bound", "error", "max_abs_error", "declared_ratio")
_ARRAYS = ("expected", "observed", "declared")


class ResultsWriter:
    """A results file that is being written: the run row, cells as they finish, the end row.

    Each row reaches the operating system before the call returns: what was written is readable
    although the process is killed. Usable in a ``with`` statement; leaving it closes the file and
    writes no end row, so that an interrupted run stays marked as partial.

    Args:
        path: the file, or a folder, which then gets ``results.jsonl``. Its parents are created;
            a file that is there is replaced.

    Raises:
        ResultsError: the folder cannot be written, or the disk is full.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = _as_file(Path(path))
        self.cells = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o644)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    @classmethod
    def appending(cls, path: Path, cells: int) -> ResultsWriter:
        """Return a writer that goes on with a file which holds ``cells`` cells and no end row.

        Raises:
            ResultsError: the file cannot be written.
        """
        writer = cls.__new__(cls)
        writer.path, writer.cells = path, cells
        try:
            writer._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _BINARY)  # noqa: SLF001 - its own class
        except OSError as error:
            raise _unwritable(path, error) from error
        return writer

    def write_run(self, run: RunRow) -> None:
        """Write the first row."""
        self._write(run)

    def write_cell(self, cell: CellRow) -> None:
        """Write one cell; numbers that are not finite become their names."""
        self._write_line(_line(cell))
        self.cells += 1

    def write_end(self, seconds: float = 0.0) -> None:
        """Write the last row, with the count of cells and the run's duration in seconds."""
        self._write(EndRow(cells=self.cells, seconds=seconds))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> ResultsWriter:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, row: Row) -> None:
        self._write_line(_encode(row))

    def _write_line(self, text: bytes) -> None:
        line = memoryview(text + b"\n")
        try:
            while line:  # a signal or a nearly full disk may take a part only
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            raise _unwritable(self.path, error) from error


def write_results(results: Results, path: Path | str) -> Path:
    """Write all rows at once and return the file; partial results stay without an end row.

    Raises:
        ResultsError: the folder cannot be written, or the disk is full.
    """
    with ResultsWriter(path) as writer:
        writer.write_run(results.run)
        for cell in results.cells:
            writer.write_cell(cell)
        if results.complete:
            writer.write_end(results.seconds)
        return writer.path


_BINARY = getattr(os, "O_BINARY", 0)


def _as_file(path: Path) -> Path:
    return path if path.suffix == ".jsonl" else path / RESULTS_NAME


_encode = msgspec.json.Encoder().encode


def _line(cell: CellRow) -> bytes:
    """Return the row of a cell, with ``nan`` and infinities as strings: JSON has no literal for them.

    They are encoded as ``null``, and nothing else is, since what is ``None`` is left out. A row without that word, as
    nearly all are, has none.
    """
    line = _encode(cell)
    if b"null" not in line:
        return line
    return _encode(msgspec.structs.replace(cell, quantities=tuple(map(_named_in, cell.quantities))))


def _named_in(quantity: QuantityRow) -> QuantityRow:
    changes: dict[str, Number | tuple[Number, ...]] = {}
    for field in _NUMBERS:
        value = getattr(quantity, field)
        if isinstance(value, float):
            changes[field] = number(value)
    for field in _ARRAYS:
        values = getattr(quantity, field)
        if values is not None:
            changes[field] = tuple(number(v) if isinstance(v, float) else v for v in values)
    return msgspec.structs.replace(quantity, **changes)


def _unwritable(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"{path}: cannot write results: {error.strerror or error}",
        hint="name a folder on a disk with room that you may write to, with --output FOLDER",
    )
