"""The data of the convergence curves: what was measured at every k, what was predicted, and the floor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.corpus.select import matches
from conformance.report.grid import Grid
from conformance.report.wording import label
from conformance.results.rows import CaseRow, Number, QuantityRow

__all__ = ["Curve", "Kind", "curves"]

PATTERN = "scenarios/convergence/*"


@dataclass(frozen=True)
class Kind:
    """Implementations of which the same is predicted: that, and what each has measured, by its name."""

    predicted: tuple[float, ...]
    measured: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Curve:
    """One case: its momentum, what is on the axis, and the kinds of implementations.

    ``floor`` is ``avg(gamma^2) / (4 n^2)``, at which the sample variance ends, ``None`` where results lack gamma.
    """

    case: str
    momentum: float
    every: int
    floor: float | None
    kinds: tuple[Kind, ...]

    @property
    def slope(self) -> float:
        """Return the factor per call: ``(1 - momentum)^2``."""
        return (1 - self.momentum) ** 2


def curves(grid: Grid) -> list[Curve]:
    """Return the curves of the run, in the order of the corpus; series that results have cut are left out."""
    found = []
    for position, case in enumerate(grid.results.run.cases):
        step = _step(case)
        if step is None or not matches(PATTERN, case.id):
            continue
        kinds = _kinds(grid, position)
        if kinds:
            momentum = float(case.source.get("momentum", 0.1))
            found.append(Curve(case.id, momentum, int(step.get("every", 1)), _floor(case), kinds))
    return found


def _step(case: CaseRow) -> dict[str, int] | None:
    steps = case.source.get("steps")
    first = steps[0] if isinstance(steps, list) and steps else None
    return first if isinstance(first, dict) and "converge" in first else None


def _kinds(grid: Grid, position: int) -> tuple[Kind, ...]:
    kinds: dict[tuple[str, ...], Kind] = {}
    for row, name in _series(grid, position):
        predicted = tuple(_numbers(row.declared or row.expected or ()))
        # What is predicted in bounds of rounding differs in its last digits between float32 and a wider host.
        key = tuple(f"{value:.2e}" for value in predicted)
        kind = kinds.setdefault(key, Kind(predicted, {}))
        kind.measured[name] = tuple(_numbers(row.observed or ()))
    return tuple(kinds.values())


def _series(grid: Grid, position: int) -> Iterator[tuple[QuantityRow, str]]:
    for column, implementation in enumerate(grid.results.run.implementations):
        cell = grid.cells.get((position, column))
        for row in cell.quantities if cell is not None else ():
            if row.name == "mse" and row.window == (0, row.shape[0]) and row.observed:
                yield row, label(implementation)


def _numbers(values: tuple[Number, ...]) -> Iterator[float]:
    for value in values:
        number = float(value)
        yield number if math.isfinite(number) else math.nan


def _floor(case: CaseRow) -> float | None:
    gamma, shape = case.inputs.get("gamma"), str(case.source.get("shape", ""))
    if gamma is None or len(gamma.values) < math.prod(gamma.shape):
        return None
    rows, _, *spatial = (int(length) for length in shape.split("x"))
    n = rows * math.prod(spatial)
    return sum(float(value) ** 2 for value in gamma.values) / len(gamma.values) / (4 * n * n)
