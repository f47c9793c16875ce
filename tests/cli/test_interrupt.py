"""Ctrl-C in ``conformance run``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conformance.results.read import read_results

TESTS = Path(__file__).parents[1]
CORPUS = TESTS / "fakes" / "corpus"


def test_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C ends the run at once, though an implementation hangs; finished cells are kept and readable."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "fakes")}
    command = [
        sys.executable, "-m", "conformance", "run", "--adapter=third_party:NeverReturns", f"--cases={CORPUS}",
        f"--output={tmp_path}", "--workers=2",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_cells(tmp_path, 6)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert (130, True) == (process.returncode, time.monotonic() - asked < 15)
    assert "conformance run: interrupted; finished cells are kept" in told
    assert "Traceback" not in told
    results = read_results(tmp_path)
    assert (6, False) == (len(results.cells), results.complete)
    assert ["results.jsonl"] == [path.name for path in tmp_path.iterdir()]


def _wait_for_cells(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "results.jsonl").exists() and len(read_results(folder).cells) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"no {count} cells within a minute")
