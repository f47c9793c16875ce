"""``conformance run --cluster``: the same cells, whoever does them, whatever becomes of a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conformance.cli.main import main
from conformance.cluster import work
from conformance.cluster.seat import SeatedSession
from conformance.corpus.case import Case
from conformance.engine.cell import Cell
from conformance.results.read import RESULTS_NAME, read_results
from conformance.trial.kills import content

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
#: Enough cells, some of which fail, for a worker to be killed in the middle.
ASKED = ["--adapter=third_party:MomentumSwapped", "--adapter=third_party:Sound", f"--cases={ROOT / 'cases'}",
         "--case=running_stats/*", "--quiet"]  # fmt: skip


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(TESTS / "fakes"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))



def test_a_worker_that_forgets_is_told_again(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is there, and has lost the session of a seat, begins another one: every cell is there."""
    cells, forgotten = SeatedSession.cells, []

    def forgetful(session: SeatedSession, cases: Sequence[Case]) -> list[Cell]:
        if not forgotten:
            forgotten.append(session.seat.ask(work.end, session._token))
        return cells(session, cases)

    monkeypatch.setattr(SeatedSession, "cells", forgetful)
    cluster.worker()
    small = [f"--cases={TESTS / 'fakes' / 'corpus'}", "--adapter=third_party:Sound", "--quiet"]
    assert 0 == main(["run", *small, f"--output={tmp_path}", f"--cluster={cluster.address}"])
    assert ([None], True, 8) == (forgotten, read_results(tmp_path).complete, len(read_results(tmp_path).cells))


def test_no_address_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no address is refused before anybody is waited for."""
    assert 2 == main(["run", "--adapter=numpy", f"--output={tmp_path}", "--cluster=nonsense"])
    assert "--cluster nonsense: found no address, expected one such as tcp://" in capsys.readouterr().err


def test_a_worker_killed_midway_costs_no_cell(cluster: Any, tmp_path: Path) -> None:
    """Of three workers one is killed when results come in: every cell is there once, as a local run has it."""
    for _ in range(3):
        cluster.worker()
    command = [sys.executable, "-m", "conformance", "run", *ASKED, f"--output={tmp_path / 'far'}"]
    file, deadline = tmp_path / "far" / RESULTS_NAME, time.monotonic() + 120
    with subprocess.Popen([*command, f"--cluster={cluster.address}"], stdout=subprocess.DEVNULL) as far:
        try:
            while time.monotonic() < deadline and not (file.exists() and file.read_bytes().count(b"\n") > 5):
                assert far.poll() is None
                time.sleep(0.02)
            cluster.workers[0].kill()
            assert 1 == far.wait(240)
        finally:
            far.kill()
    assert 1 == main(["run", *ASKED, f"--output={tmp_path / 'near'}"])
    assert content(read_results(tmp_path / "near")) == content(read_results(tmp_path / "far"))


def test_a_label_says_who_is_asked_where(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An implementation that a worker has among its resources is asked of that worker alone, though others could."""
    cluster.worker()
    cluster.worker("--resources", "third_party:Sound=1", paths=())
    small = ["run", f"--cases={TESTS / 'fakes' / 'corpus'}", "--quiet", f"--cluster={cluster.address}"]
    assert 0 == main([*small, "--adapter=third_party:Population", f"--output={tmp_path / 'other'}"])
    assert 2 == main([*small, "--adapter=third_party:Sound", f"--output={tmp_path / 'labelled'}"])
    assert "No module named 'third_party'" in capsys.readouterr().err


def test_what_nobody_is_labelled_for_is_told(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a worker the run ends with what is left, and is resumed once there is one."""
    monkeypatch.setattr("conformance.cluster.crew.PATIENCE", 1.0)
    small = ["run", f"--cases={TESTS / 'fakes' / 'corpus'}", "--adapter=third_party:Sound", "--quiet",
             f"--output={tmp_path}", f"--cluster={cluster.address}"]  # fmt: skip
    assert 2 == main(small)
    said = capsys.readouterr().err
    assert "for 1 s the cluster has had no worker for what is left: 4 cases on numpy, 4 cases on third_party:S" in said
    cluster.worker()
    assert 0 == main([*small, "--resume"])
    assert read_results(tmp_path).complete


def test_no_scheduler_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address where nobody answers is a usage error, and nothing is run."""
    monkeypatch.setattr("conformance.cluster.connection._TIMEOUT", 1)
    code = main(["run", "--adapter=numpy", f"--output={tmp_path}", "--quiet", "--cluster=tcp://127.0.0.1:1"])
    assert 2 == code
    assert "--cluster tcp://127.0.0.1:1: no scheduler answers" in capsys.readouterr().err


def test_an_implementation_that_does_not_start_is_told(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What starts at no worker fails as it does here; the others are complete."""
    cluster.worker()
    small = ["run", f"--cases={TESTS / 'fakes' / 'corpus'}", "--adapter=third_party:Absent", "--quiet"]
    assert 2 == main([*small, f"--output={tmp_path}", f"--cluster={cluster.address}"])
    assert "third_party:Absent" in capsys.readouterr().err
    assert 4 == len(read_results(tmp_path).cells)
