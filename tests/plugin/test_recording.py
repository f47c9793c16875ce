"""Results and report are written by the controlling process, of what was run and of nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.results.read import read_results

Runs = Callable[..., Any]

#: Tells which worker put which cell.
SPY = """
import os
from pathlib import Path
import pytest

pytest_plugins = ["conformance.pytest_plugin"]

@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item):
    if hasattr(item, "adapter"):
        with Path(item.config.rootpath, "seen.txt").open("a") as seen:
            seen.write(f"{os.environ.get('PYTEST_XDIST_WORKER')} {item.adapter}\\n")
"""


def test_tests_alone_write_no_report(run: Runs) -> None:
    """Where no case is run nothing is written."""
    ended = run("tests")
    assert (0, {"passed": 1}) == (ended.code, ended.counts)
    assert not ended.folder.exists()


def test_tests_and_cases_write_one(run: Runs) -> None:
    """Beside tests the cases are run and recorded."""
    ended = run(adapter="Sound")
    assert (0, {"passed": 9}) == (ended.code, ended.counts)
    assert 8 == len(ended.results.cells)


def test_collecting_writes_nothing(run: Runs) -> None:
    """Collecting leaves an earlier report as it is."""
    report = run("cases", adapter="Sound").folder / "index.html"
    assert 0 == run("cases", "--collect-only").code
    assert report.is_file()


def test_an_implementation_is_one_workers(run: Runs, root: Path) -> None:
    """With several workers each implementation's cells go to one of them, and one file holds them all."""
    (root / "conftest.py").write_text(SPY, "utf-8")
    ended = run("cases", "-n2", "--adapter=third_party:Population", adapter="Sound")
    assert (0, {"passed": 10, "xfailed": 2}) == (ended.code, ended.counts)
    seen = [line.split() for line in (root / "seen.txt").read_text("utf-8").splitlines()]
    assert 12 == len(seen)
    workers = {adapter: {worker for worker, other in seen if other == adapter} for _, adapter in seen}
    assert [1, 1, 1] == [len(one) for one in workers.values()]
    assert {"gw0", "gw1"} == set().union(*workers.values())
    assert (12, True) == (len(ended.results.cells), ended.results.complete)
    assert ["index.html", "results.jsonl"] == sorted(path.name for path in ended.folder.iterdir())


def test_output(run: Runs, root: Path) -> None:
    """Results and report go where they are asked to."""
    ended = run("cases", "--output=elsewhere", adapter="Sound")
    assert {"index.html", "results.jsonl"} == {path.name for path in (root / "elsewhere").iterdir()}
    assert not ended.folder.exists()
    assert "report:  " in ended.out


# arguments, how many cases, what the results say of the selection
SELECTIONS = {
    "keyword": (["cases", "-k", "evaluate"], 2, "-k 'evaluate'"),
    "pattern": (["cases", "--case=small/train"], 2, "small/train"),
    "file": (["cases/small.yaml"], 4, "cases/small.yaml"),
    "item": (["cases/small.yaml::train[dtype=float64]@numpy"], 1, "cases/small.yaml::train[dtype=float64]@numpy"),
}


@pytest.mark.parametrize(("arguments", "cases", "selection"), SELECTIONS.values(), ids=SELECTIONS.keys())
def test_selections(run: Runs, arguments: list[str], cases: int, selection: str) -> None:
    """A part of the corpus is recorded as such, complete in itself."""
    results = run(*arguments, "--adapter=numpy").results
    assert (cases, cases, True, selection) == (
        len(results.cells), len(results.run.cases), results.complete, results.run.selection,
    )  # fmt: skip


def test_stopping_at_the_first_failure_is_partial(run: Runs) -> None:
    """A run that ends early has no end row, and its report says that it is partial."""
    ended = run("cases", "-x", adapter="MomentumSwapped")
    assert 1 == ended.code
    assert not ended.results.complete
    assert "PARTIAL" in ended.out


def test_a_canary_that_differs(run: Runs, root: Path) -> None:
    """Where the canary differs there is no report, results are kept, and the exit code is 3."""
    (root / "conftest.py").write_text(
        'pytest_plugins = ["conformance.pytest_plugin"]\n'
        "from conformance.definition.variants import apply\nfrom conformance.verdict import oracle\n"
        "simulate = oracle.simulate\n"
        'oracle.simulate = lambda *given: simulate(*given[:2], apply(["epsilon missing"], given[2]))\n', "utf-8",
    )  # fmt: skip
    ended = run("cases", adapter="Sound")
    assert 3 == ended.code
    assert "no report: the canary numpy@" in ended.out
    assert ["results.jsonl"] == [path.name for path in ended.folder.iterdir()]


def test_a_folder_that_cannot_be_written(run: Runs, root: Path) -> None:
    """An output folder that is a file is one message, not a traceback."""
    (root / "file").write_text("", "utf-8")
    ended = run("cases", "--output=file", "--adapter=numpy")
    assert 0 != ended.code
    assert "file/results.jsonl: cannot write results: " in ended.out
    assert "Traceback" not in ended.out
    assert "INTERNALERROR" not in ended.out


def test_an_interrupt_keeps_what_is_finished(root: Path) -> None:
    """Ctrl-C leaves a readable file without an end row."""
    fakes = Path(__file__).parents[1] / "fakes"
    options = ["-p", "no:cacheprovider", "--adapter=third_party:NeverReturns"]
    command = [sys.executable, "-m", "pytest", "cases", *options]
    environment = {"PYTHONPATH": str(fakes), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        _wait_for_cells(root / "reports" / "latest", 5)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    assert 2 == process.returncode
    assert "KeyboardInterrupt" in told
    results = read_results(root / "reports" / "latest")
    assert (5, False) == (len(results.cells), results.complete)


def _wait_for_cells(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "results.jsonl").exists() and len(read_results(folder).cells) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"no {count} cells within a minute")


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_host_that_does_not_start_is_a_row(run: Runs, root: Path, workers: tuple[str, ...]) -> None:
    """Cells of a configured host that cannot start are skipped with the reason, which stands in the results once."""
    file = root / "hosts.yaml"
    sound = f"{{python: {sys.executable}, adapter: 'third_party:Sound'}}"
    file.write_text(f"implementations: {{gone: {{command: [./gone]}}, sound: {sound}}}", encoding="utf-8")
    ended = run("cases", f"--implementations={file}", *workers)
    assert 0 == ended.code, ended.out
    assert {"passed": 8, "skipped": 4} == ended.counts
    assert ["gone"] == list(ended.results.run.not_installed)
    assert "host gone: the host does not start" in ended.results.run.not_installed["gone"]
    assert ended.results.complete
    assert {"numpy", "Sound"} == {row.name for row in ended.results.run.implementations}


def test_pyproject_names_hosts(run: Runs, root: Path) -> None:
    """The table of the project's pyproject.toml names hosts that are asked beside the others."""
    table = f'[tool.conformance.implementations.sound]\npython = "{sys.executable}"\nadapter = "third_party:Sound"\n'
    (root / "pyproject.toml").write_text(table, encoding="utf-8")
    ended = run("cases", "--adapter=sound")
    assert 0 == ended.code, ended.out
    assert {"numpy", "Sound"} == {row.name for row in ended.results.run.implementations}
