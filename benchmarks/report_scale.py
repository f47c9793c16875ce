"""How the report fares at scale: time, memory and size to build it, time to open and filter it.

Run as ``python benchmarks/report_scale.py [CASES IMPLEMENTATIONS [RESULTS]]``; 1,000 by 30 unless told otherwise.
With RESULTS, the cells of a real run are repeated under new names until there are enough: rows are then as
large, and as varied, as real ones.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
from playwright.sync_api import sync_playwright

from conformance.report.page import write_report
from conformance.results.read import Results, read_results
from conformance.results.rows import CaseRow, CellRow, ImplementationRow, QuantityRow, RunRow, Verdict
from conformance.results.writer import write_results

QUANTITIES = ("y", "running_mean", "running_var", "dx")
WINDOW = 8
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


def synthetic(cases: int, implementations: int) -> Results:
    """Return results in which about one cell in six does not agree."""
    numbers = random.Random(17)  # noqa: S311 - no secret
    columns = tuple(
        ImplementationRow(
            id=f"framework-{at // 5}@{at % 5}.1:eager:cpu", name=f"framework-{at // 5}",
            versions={"framework": f"{at % 5}.1"}, dialect={"running_variance": ("sample", "population")[at % 2]},
        )
        for at in range(implementations)
    )  # fmt: skip
    rows = tuple(
        CaseRow(
            id=f"area_{at // 50}/question-{at}[dtype=float32,shape=4x3x7]", fact=f"Fact {at} about the definition",
            clauses=("1.1",), source={"shape": "4x3x7", "steps": [{"train": "a"}, {"evaluate": "a"}]},
        )
        for at in range(cases)
    )  # fmt: skip
    cells = tuple(_cell(numbers, case, column) for case in rows for column in columns)
    run = RunRow(
        suite="0.1.0", started="2026-01-01T00:00:00Z", machine={}, cases_digest="0" * 64, cases=rows,
        implementations=columns,
    )  # fmt: skip
    return Results(run=run, cells=cells, complete=True, seconds=60.0)


def tiled(real: Results, cases: int, implementations: int) -> Results:
    """Return the cells of a real run, repeated under new names until there are that many of each."""
    replace = msgspec.structs.replace
    rows = [
        replace(case, id=case.id.replace("/", f"-{at // len(real.run.cases)}/", 1))
        for at in range(cases) for case in (real.run.cases[at % len(real.run.cases)],)
    ]  # fmt: skip
    columns = [
        replace(row, id=row.id.replace("@", f"@{at // len(real.run.implementations)}.", 1))
        for at in range(implementations)
        for row in (real.run.implementations[at % len(real.run.implementations)],)
    ]
    known = {(cell.case, cell.implementation): cell for cell in real.cells}
    cells = tuple(
        replace(cell, case=row.id, implementation=column.id)
        for at, row in enumerate(rows) for place, column in enumerate(columns)
        if (cell := known.get((real.run.cases[at % len(real.run.cases)].id,
                               real.run.implementations[place % len(real.run.implementations)].id)))
    )  # fmt: skip
    run = replace(real.run, cases=tuple(rows), implementations=tuple(columns))
    return Results(run=run, cells=cells, complete=True, seconds=real.seconds)


def _cell(numbers: random.Random, case: CaseRow, column: ImplementationRow) -> CellRow:
    draw = numbers.random()
    verdict: Verdict = "agrees" if draw < 0.83 else "rough" if draw < 0.9 else "deviates" if draw < 0.97 else "differs"
    seeded = random.Random(case.id)  # noqa: S311 - the prediction is the same for every implementation
    quantities = tuple(_quantity(numbers, seeded, name, verdict) for name in QUANTITIES)
    return CellRow(case=case.id, implementation=column.id, verdict=verdict, seconds=0.01, quantities=quantities)


def _quantity(numbers: random.Random, seeded: random.Random, name: str, verdict: Verdict) -> QuantityRow:
    expected = tuple(seeded.gauss(0, 1) for _ in range(WINDOW))
    observed = tuple(float(f"{value + numbers.gauss(0, 1e-7):.9g}") for value in expected)
    ratio = 10 ** numbers.uniform(-3, 0) * (1 if verdict == "agrees" else 1e4)
    error, largest, ratio = (float(f"{value:.4g}") for value in (ratio * 1.2e-7, ratio * 1.3e-7, ratio))
    return QuantityRow(
        step=1, name=name, clause="1.1", verdict=verdict, dtype="float32", shape=(4, 3, 7), ratio=ratio, bound=1.2e-7,
        plain_bound=4.8e-7, error=error, max_abs_error=largest, worst_index=(0, 0, 3),
        window=(0, WINDOW), expected=expected, observed=observed,
        explanation=None if verdict == "agrees" else "as the dialect declares",
        variant=None if verdict == "agrees" else "population running variance",
        channels=None if verdict == "agrees" else tuple(float(f"{ratio * share:.3g}") for share in (0.2, 1, 0.4)),
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    cases, implementations = (int(text) for text in sys.argv[1:3]) if len(sys.argv) > 2 else (1000, 30)
    folder = Path(tempfile.mkdtemp(prefix="report-scale-"))
    made = tiled(read_results(sys.argv[3]), cases, implementations) if len(sys.argv) > 3 else None
    written = write_results(made or synthetic(cases, implementations), folder)
    del made
    print(f"{cases:,} cases x {implementations} implementations = {cases * implementations:,} cells")
    print(f"results file        {written.stat().st_size / 1e6:8.1f} MB")
    page = folder / "index.html"
    # A process of its own, so that the generator's memory does not count.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for line in pool.submit(_build, written, page).result():
            print(line)
    print(f"report              {page.stat().st_size / 1e6:8.1f} MB")
    _browse(page)
    shutil.rmtree(folder)


def _build(written: Path, page: Path) -> list[str]:
    start = time.perf_counter()
    results = read_results(written)
    read = time.perf_counter()
    worked = time.process_time()
    write_report(results, page)
    worked = time.process_time() - worked
    # Not ru_maxrss: a child inherits its parent's.
    peak = int(re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))[0]) / 1024
    return [
        f"reading             {read - start:8.2f} s",
        f"building the report {time.perf_counter() - read:8.2f} s, of which the processor worked {worked:.2f} s",
        f"peak memory         {peak:8.0f} MiB",
    ]


def _browse(path: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        page.goto(f"{path.as_uri()}#matrix", wait_until="commit")
        page.wait_for_selector("td.cell")
        print(f"matrix on screen    {time.perf_counter() - start:8.2f} s")
        for what, fragment in (("filter by verdict", "v=differs"), ("filter by text", "q=question-77"),
                               ("only differences", "only=1"), ("everything", "")):  # fmt: skip
            taken = page.evaluate(_TIMED, f"#matrix?{fragment}")
            print(f"{what:19} {taken:8.0f} ms")
        start = time.perf_counter()
        page.locator("td.cell").first.click()
        page.wait_for_selector("#panel:not([hidden]) h2")
        print(f"opening a cell      {(time.perf_counter() - start) * 1000:8.0f} ms")
        browser.close()


#: From setting the fragment to the next frame after it was drawn.
_TIMED = """(hash) => new Promise((resolve) => {
  const start = performance.now();
  const drawn = () => setTimeout(() => resolve(performance.now() - start));
  addEventListener('hashchange', () => requestAnimationFrame(drawn), { once: true });
  location.hash = hash;
})"""


if __name__ == "__main__":
    main()
