"""Reading a results file: tolerant of a torn last line, strict about everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from conformance.errors import ResultsError
from conformance.results.rows import CellRow, EndRow, ImplementationRow, Number, QuantityRow, Row, RunRow, Verdict

__all__ = ["RESULTS_NAME", "Results", "Survey", "read_results", "survey"]

RESULTS_NAME = "results.jsonl"
_REWRITE = "run the cases again; a file written by the suite does not look like this"


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What one results file says.

    ``complete`` is false where the file lacks its end row; ``seconds`` is the run's duration, 0 where
    it is not known.
    """

    run: RunRow
    cells: tuple[CellRow, ...]
    complete: bool
    seconds: float = 0.0

    @property
    def expected_cells(self) -> int:
        """Return how many cells a run of these cases on these implementations has."""
        return len(self.run.cases) * len(self.run.implementations)

    @property
    def lacking(self) -> str:
        """Return the words that a message ends in where cells may be missing."""
        return "" if self.complete else "; PARTIAL: the run did not finish"

    def implementation(self, identifier: str) -> ImplementationRow:
        """Return the column of that id.

        Raises:
            KeyError: there is none.
        """
        for row in self.run.implementations:
            if row.id == identifier:
                return row
        raise KeyError(identifier)


def read_results(path: Path | str) -> Results:
    """Read a results file, or ``results.jsonl`` in a folder.

    Raises:
        ResultsError: the file cannot be read or is malformed; the message starts with ``file:line``.
    """
    file = Path(path)
    if file.is_dir():
        file /= RESULTS_NAME
        if not file.exists():
            raise ResultsError(f"{path}: holds no {RESULTS_NAME}", hint="name the folder that a run has written")
    reader = _Reader(file)
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                reader.take(number, line)
    except OSError as error:
        raise ResultsError(
            f"{file}: cannot read results: {error.strerror or error}",
            hint="name a results.jsonl, or the folder that holds it",
        ) from error
    return reader.results()


@dataclass(frozen=True)
class Survey:
    """What a results file holds, without the quantities of its cells.

    ``verdicts`` go by case and implementation; the first ``length`` bytes are whole rows, what is behind
    them was torn.
    """

    run: RunRow
    verdicts: dict[tuple[str, str], Verdict]
    complete: bool
    length: int


def survey(file: Path) -> Survey:
    """Read a results file for what is in it; memory does not grow with the quantities.

    Raises:
        ResultsError: as ``read_results``.
    """
    verdicts: dict[tuple[str, str], Verdict] = {}

    def keep(cell: CellRow) -> None:
        verdicts[cell.case, cell.implementation] = cell.verdict

    reader, length = _Reader(file, keep), 0
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    reader.take(number, line)
                    length += len(line)
    except OSError as error:
        raise ResultsError(
            f"{file}: cannot read results: {error.strerror or error}", hint="start anew, without --resume"
        ) from error
    if reader.run is None:
        raise ResultsError(f"{file}: no run row: the file is empty", hint="start anew, without --resume")
    return Survey(reader.run, verdicts, reader.end is not None, length)


class _Reader:
    """The state of reading: which rows were seen."""

    def __init__(self, file: Path, keep: Callable[[CellRow], None] | None = None) -> None:
        self.file = file
        self.run: RunRow | None = None
        self.end: EndRow | None = None
        self.cells: list[CellRow] = []
        self._take_cell = self._hold if keep is None else keep
        self._seen: dict[tuple[str, str], int] = {}
        self._cases: dict[str, str] = {}
        self._implementations: dict[str, str] = {}
        self._shared: dict[Any, Any] = {}
        self._predictions: dict[tuple[Number, ...], tuple[Number, ...]] = {}

    def take(self, number: int, line: bytes) -> None:
        """Read one line; one without its newline that cannot be read was torn by a crash."""
        if not line.strip():
            return
        try:
            row = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if line.endswith(b"\n") or self.run is None:
                raise self._fault(number, str(error)) from error
            return
        if self.end is not None:
            raise self._fault(number, "a row after the end row")
        self._keep(number, row)

    def results(self) -> Results:
        """Return what was read."""
        if self.run is None:
            raise ResultsError(f"{self.file}: no run row: the file is empty", hint=_REWRITE)
        return Results(
            run=self.run,
            cells=tuple(self.cells),
            complete=self.end is not None,
            seconds=self.end.seconds if self.end else 0.0,
        )

    def _keep(self, number: int, row: Row) -> None:
        if (self.run is None) != isinstance(row, RunRow):
            raise self._fault(number, "the first row, and only the first, is the run row")
        if isinstance(row, RunRow):
            self._keep_run(number, row)
        elif isinstance(row, CellRow):
            self._keep_cell(number, row)
        else:
            self._keep_end(number, row)

    def _keep_run(self, number: int, row: RunRow) -> None:
        for what, identifiers in (
            ("case", [case.id for case in row.cases]),
            ("implementation", [implementation.id for implementation in row.implementations]),
        ):
            repeated = _first_repeated(identifiers)
            if repeated is not None:
                raise self._fault(number, f"the {what} {repeated} is listed twice")
        self.run = row
        # One string object per id, however many cells name it.
        self._cases = {case.id: case.id for case in row.cases}
        self._implementations = {row.id: row.id for row in row.implementations}

    def _keep_cell(self, number: int, row: CellRow) -> None:
        case = self._cases.get(row.case)
        implementation = self._implementations.get(row.implementation)
        if case is None:
            raise self._fault(number, f"the case {row.case} is not in the run row")
        if implementation is None:
            known = ", ".join(self._implementations) or "none"
            raise self._fault(number, f"the implementation {row.implementation} is not in the run row ({known})")
        earlier = self._seen.setdefault((case, implementation), number)
        if earlier != number:
            raise self._fault(number, f"{row.case} on {row.implementation} is already in line {earlier}")
        self._take_cell(msgspec.structs.replace(row, case=case, implementation=implementation))

    def _hold(self, row: CellRow) -> None:
        quantities = tuple(self._sharing(quantity) for quantity in row.quantities)
        self.cells.append(msgspec.structs.replace(row, quantities=quantities))

    def _sharing(self, row: QuantityRow) -> QuantityRow:
        """Return the row with what many rows have in common held once: a third less memory."""
        share = self._shared.setdefault
        return msgspec.structs.replace(
            row, name=share(row.name, row.name), clause=share(row.clause, row.clause),
            dtype=share(row.dtype, row.dtype), verdict=share(row.verdict, row.verdict),
            shape=share(row.shape, row.shape), expected=self._shared_values(row.expected),
            explanation=share(row.explanation, row.explanation), worst_index=share(row.worst_index, row.worst_index),
            window=share(row.window, row.window),
        )  # fmt: skip

    def _shared_values(self, values: tuple[Number, ...] | None) -> tuple[Number, ...] | None:
        """Return equal predictions once; not where one is zero, whose sign a comparison does not see."""
        return values if values is None or 0.0 in values else self._predictions.setdefault(values, values)

    def _keep_end(self, number: int, row: EndRow) -> None:
        if row.cells != len(self._seen):
            raise self._fault(number, f"the end row counts {row.cells} cells, the file holds {len(self._seen)}")
        self.end = row

    def _fault(self, number: int, what: str) -> ResultsError:
        return ResultsError(f"{self.file}:{number}: {what}", hint=_REWRITE)


_decode: Callable[[bytes], Row] = msgspec.json.Decoder(RunRow | CellRow | EndRow).decode


def _first_repeated(names: list[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
