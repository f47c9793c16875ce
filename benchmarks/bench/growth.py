"""Time and memory of the controller as cells grow in number: 1,000, 10,000 and 100,000 of them.

500 cases on palette shapes are put to 2, 20 and 200 columns by the engine's own workers, judged and written as in a
run. The columns are the canary under other names, all answered by two hosts: what grows is the suite, not the
frameworks. Each size in a process of its own. One column more for each worker goes before, unmeasured: they make
the predictions that all columns share.

``scaling_exponent`` is the slope of a straight line through the logarithms of cells and seconds: 1 is linear.
``controller_growth_mb_100k`` is the most memory that the controller held at 100,000 cells, less that at 1,000; the
report, which reads all cells, is another figure. ``recorded_cells_per_second`` is what the controller of a cluster
has to do: cells decoded as they come, and written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from queue import SimpleQueue

from benchmarks.bench.common import asked, palette_cases, peak_mebibytes, recorder
from conformance.adapters.contract import Implementation
from conformance.cluster.messages import Judged, decode, encode
from conformance.corpus.case import Case
from conformance.engine.cell import Cell
from conformance.engine.local import run_cells
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.session import HostSession

_CASES, _COLUMNS, _WORKERS, _ROUNDS = 500, (2, 20, 200), 2, 20


def measure() -> dict[str, float]:
    """Return the figures."""
    seconds, peaks = zip(*(_apart(columns) for columns in _COLUMNS), strict=True)
    cells = [_CASES * columns for columns in _COLUMNS]
    return {
        "scaling_exponent": _slope([math.log(one) for one in cells], [math.log(one) for one in seconds]),
        "controller_growth_mb_100k": (peaks[-1] - peaks[0]) * 2**20 / 1e6,
        "cells_per_second_100k": cells[-1] / seconds[-1],
        "recorded_cells_per_second": _recorded(),
    }


class _Renamed:
    """A column of its own, answered by a host that others use before and after."""

    def __init__(self, hosts: SimpleQueue[HostSession], number: int) -> None:
        self._hosts, self._host, self.adapter = hosts, hosts.get(), f"copy-{number}"

    @property
    def implementation(self) -> Implementation:
        return replace(self._host.implementation, name=self.adapter)

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        return self._host.observe(case)

    def ask_ahead(self, case: Case) -> None:
        self._host.ask_ahead(case)

    def observe_apart(self, case: Case) -> Observation | Crashed | Faulty | None:
        return self._host.observe_apart(case)

    def close(self) -> None:
        self._hosts.put(self._host)

    def abort(self) -> None:
        self._host.abort()


def _apart(columns: int) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_grown, columns).result()


def _grown(columns: int) -> tuple[float, float]:
    """Return the seconds for so many columns, and the most memory held, in MiB."""
    cases = palette_cases()[:_CASES]
    hosts: SimpleQueue[HostSession] = SimpleQueue()
    every = [HostSession("numpy") for _ in range(_WORKERS)]
    for host in every:
        hosts.put(host)

    def run(starts: list[Callable[[], _Renamed]]) -> float:
        start = time.perf_counter()
        failed = run_cells(cases, starts, workers=_WORKERS, deviations=(), done=results.add)
        if failed:
            raise failed[0]
        return time.perf_counter() - start

    try:
        with recorder(cases) as results:
            run([partial(_Renamed, hosts, number) for number in (-1, -2)])
            seconds = run([partial(_Renamed, hosts, number) for number in range(columns)])
    finally:
        for host in every:
            host.close()
    return seconds, peak_mebibytes()


def _recorded() -> float:
    """Return how many cells a second the controller of a cluster decodes and writes."""
    cases = palette_cases()[:_CASES]
    with HostSession("numpy") as session, recorder(cases) as results:
        judged = [one.cell for one in asked(cases, session, results)]
        columns = (judged[0].implementation,)
        text = encode(Judged(columns, tuple((0, cell.row) for cell in judged)))
        start = time.perf_counter()
        for _ in range(_ROUNDS):
            for _, row in decode(text, Judged).cells:
                results.add(Cell(row, columns[0]))
        return _ROUNDS * len(judged) / (time.perf_counter() - start)


def _slope(x: list[float], y: list[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)
