"""The data of the page: a light index for the matrix, and details in chunks that are read when needed."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from conformance.report.findings import Finding
from conformance.report.grid import Grid, worst_ratio
from conformance.report.source import as_yaml
from conformance.report.wording import VERDICTS
from conformance.results.rows import SEVERITY, CaseRow, CellRow, Number, QuantityRow

__all__ = ["CELLS_PER_CHUNK", "chunks", "index", "safe_json"]

#: So many cells are packed, and unpacked in the browser, together.
CELLS_PER_CHUNK = 800
#: A chunk above this size in bytes is compressed; small reports stay legible as text.
PLAIN_LIMIT = 60_000
#: How a cell is named on the command line of pytest.
PYTEST_ID = "cases/{file}.yaml::{case}@{implementation}"
#: So many values around the worst are kept of a quantity that agrees.
AGREEING_VALUES = 8

_CODES = {words.name: words.code for words in VERDICTS}
#: Significant digits that tell any two values of a dtype apart.
_DIGITS = {"float64": 17, "float32": 9, "bfloat16": 4, "float16": 5}
_ENOUGH = frozenset({17, 9})


def index(grid: Grid, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what the matrix needs: cases, columns, a verdict and a ratio per cell."""
    run = grid.results.run
    rows, columns = grid.shape
    cells = grid.cells
    return {
        "cases": [[case.id, case.fact, case.clauses, str(case.source.get("dtype", "float32")), _mode(case)]
                  for case in run.cases],
        "implementations": run.implementations,
        "clauses": run.clauses,
        "verdicts": ["".join(_code(cells.get((row, column))) for row in range(rows)) for column in range(columns)],
        "ratios": [
            [_short(worst_ratio(cell), 3) if (cell := cells.get((row, column))) else None for row in range(rows)]
            for column in range(columns)
        ],
        "findings": {
            finding.key: {
                "verdict": finding.verdict,
                "cause": finding.record or finding.variant or finding.error,
                "quantities": finding.quantities,
                "cells": [[party.implementation, party.cases] for party in finding.parties],
            }
            for finding in findings
        },
        "deviations": run.deviations,
        "variants": run.variants,
        "severity": "".join(_CODES[verdict] for verdict in SEVERITY),
        "words": [[words.name, words.code, words.glyph, words.meaning] for words in VERDICTS],
        "casesPerChunk": cases_per_chunk(grid),
        "pytest": PYTEST_ID,
    }


def _mode(case: CaseRow) -> str:
    """Return the modes of a case's steps: ``train``, ``evaluate`` or both."""
    steps = case.source.get("steps")
    keys = {str(key) for step in steps if isinstance(step, dict) for key in step} if isinstance(steps, list) else set()
    return " ".join(mode for mode in ("train", "evaluate") if mode in keys)


def cases_per_chunk(grid: Grid) -> int:
    """Return how many cases, with all their cells, one chunk holds."""
    return max(1, CELLS_PER_CHUNK // max(1, grid.shape[1]))


def chunks(grid: Grid) -> Iterator[tuple[str, str]]:
    """Yield the details, each as its encoding (``json`` or ``gzip``) and its text."""
    step = cases_per_chunk(grid)
    for start in range(0, grid.shape[0], step):
        yield _packed(_chunk(grid, range(start, min(start + step, grid.shape[0]))))


def safe_json(data: object) -> str:
    """Return JSON that can stand inside a script element: nothing in it can end that element."""
    text = msgspec.json.encode(data).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _packed(chunk: dict[str, Any]) -> tuple[str, str]:
    text = safe_json(chunk)
    if len(text) <= PLAIN_LIMIT:
        return "json", text
    return "gzip", base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode()


def _chunk(grid: Grid, rows: range) -> dict[str, Any]:
    pool = _Pool()
    cells = [
        [_cell(cell, pool) if (cell := grid.cells.get((row, column))) else 0 for column in range(grid.shape[1])]
        for row in rows
    ]
    sources = [as_yaml(grid.results.run.cases[row].source) for row in rows]
    inputs = [
        [[name, one.dtype, one.shape, one.values] for name, one in grid.results.run.cases[row].inputs.items()]
        for row in rows
    ]
    return {"cells": cells, "sources": sources, "inputs": inputs, "pool": pool.values}


class _Pool:
    """Strings and arrays that many cells share, each kept once and named by its position."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._positions: dict[object, int] = {}
        self._rounded: dict[tuple[tuple[Number, ...], int], int] = {}

    def take_rounded(self, values: tuple[Number, ...] | None, digits: int) -> int:
        """Return the position of numbers with so many significant digits; many cells share a prediction."""
        if values is None:
            return -1
        position = self._rounded.get((values, digits))
        if position is None:
            position = self._rounded[values, digits] = self.take(_shortened(values, digits))
        return position

    def take(self, value: Any) -> int:
        """Return the position of the value; -1 stands for none."""
        if value is None or value == "":
            return -1
        position = self._positions.setdefault(value, len(self.values))
        if position == len(self.values):
            self.values.append(value)
        return position


def _cell(cell: CellRow, pool: _Pool) -> list[Any]:
    return [
        pool.take(cell.explanation),
        _short(cell.seconds, 3),
        [_quantity(row, pool) for row in cell.quantities],
    ]


def _quantity(row: QuantityRow, pool: _Pool) -> list[Any]:
    """Return one quantity as a list; ``script/data.js`` names the positions."""
    digits = _DIGITS.get(row.dtype, 17)
    wider = min(digits + 3, 17)  # a prediction has more digits than the dtype can hold
    widths = (wider, digits, wider)
    start, arrays = _window(row)
    texts = (row.variant, row.deviation, row.open, row.explanation, row.raises, row.message)
    return [
        row.step,
        pool.take(row.name),
        pool.take(row.clause),
        _code_of(row),
        pool.take(row.dtype),
        pool.take(tuple(row.shape)),
        row.ratio, row.bound, row.plain_bound, row.error, row.max_abs_error,
        pool.take(row.worst_index),
        start,
        *(pool.take_rounded(values, width) for values, width in zip(arrays, widths, strict=True)),
        row.declared_ratio,
        row.discriminates,
        *(pool.take(text) for text in texts),
        *(pool.take_rounded(ratios, 2) for ratios in (row.channels, row.samples)),
    ]  # fmt: skip


def _window(row: QuantityRow) -> tuple[int, tuple[tuple[Number, ...] | None, ...]]:
    """Return where the values start and the values; few of a quantity that agrees."""
    arrays = (row.expected, row.observed, row.declared)
    start = row.window[0] if row.window else 0
    length = len(row.observed or row.expected or ())
    if row.verdict not in ("agrees", "rough") or length <= AGREEING_VALUES:
        return start, arrays
    centre = _flat(row.worst_index, row.shape) - start if row.worst_index is not None else 0
    first = max(0, min(centre - AGREEING_VALUES // 2, length - AGREEING_VALUES))
    return start + first, tuple(a if a is None else a[first : first + AGREEING_VALUES] for a in arrays)


def _flat(index_: Sequence[int], shape: Sequence[int]) -> int:
    position = 0
    for at, length in zip(index_, shape, strict=False):
        position = position * length + at
    return position


def _code(cell: CellRow | None) -> str:
    return _CODES[cell.verdict] if cell else "."


def _code_of(row: QuantityRow) -> str:
    return _CODES[row.verdict]


def _shortened(values: tuple[Number, ...] | None, digits: int) -> tuple[Number, ...] | None:
    # A results file holds float64 and float32 values with the digits that they need and no more.
    return values if values is None or digits in _ENOUGH else tuple(_short(value, digits) or 0 for value in values)


def _short(value: Number | None, digits: int) -> Number | None:
    """Return the number with that many significant digits, as an integer where it is one."""
    if value is None or isinstance(value, str):
        return value
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
