"""The report of 100,000 cells: seconds to read the results file and to write the page, and megabytes of the page.

The cells are those of a run of ``torch`` and the canary on every third case of the default set, repeated under new
names until there are 1,000 cases and 100 implementations: rows as large and as varied as real ones.
``report_100k_peak_mb`` is the most memory that reading and writing held.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench.common import asked, palette_cases, peak_mebibytes
from benchmarks.report_scale import tiled
from conformance.engine.machine import run_row
from conformance.engine.recorder import Recorder
from conformance.host.session import HostSession
from conformance.report.page import REPORT_NAME, write_report
from conformance.results.read import RESULTS_NAME, read_results
from conformance.results.writer import write_results


def measure() -> dict[str, float]:
    """Return the figures."""
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write_results(tiled(read_results(_real(folder / "real")), 1000, 100), folder / "tiled")
        # A process of its own, so that what made the cells does not count.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_built, folder / "tiled").result()


def _real(folder: Path) -> Path:
    cases = palette_cases()[::3]
    results = Recorder(folder, run_row(cases, corpus=cases, not_installed={}))
    for name in ("numpy", "torch"):
        with HostSession(name) as session:
            for _ in asked(cases, session, results):
                pass
    results.finish()
    return results.path


def _built(folder: Path) -> dict[str, float]:
    start = time.perf_counter()
    page = folder / REPORT_NAME
    write_report(read_results(folder), page)
    return {
        "report_100k_seconds": time.perf_counter() - start,
        "results_100k_mb": (folder / RESULTS_NAME).stat().st_size / 1e6,
        "report_100k_mb": page.stat().st_size / 1e6,
        "report_100k_peak_mb": peak_mebibytes() * 2**20 / 1e6,
    }
