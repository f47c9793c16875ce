"""The ledger of where time goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conformance.cli.main import main
from conformance.durations import STAGES, Ledger, kept, spent

CORPUS = Path(__file__).parent / "fakes" / "corpus"


def test_a_stage_within_another_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of an inner stage are not the outer one's."""
    with kept(1) as ledger:
        assert ledger is not None
        clock = iter((0.0, 1.0, 4.0, 6.0))  # judging begins, the oracle begins and ends, judging ends
        monkeypatch.setattr("conformance.durations.time.perf_counter", lambda: next(clock))
        with spent("judging"), spent("oracle"):
            pass
        monkeypatch.undo()
    assert {"oracle": 3.0, "judging": 3.0} == ledger.seconds


def test_nothing_is_kept_unasked() -> None:
    """Without a ledger a stage costs nothing, and counts nowhere."""
    with kept(None) as ledger, spent("judging"):
        pass
    assert ledger is None


def test_the_slowest_cells_are_kept() -> None:
    """Of many cells those that took longest are in the table, the slowest first."""
    ledger = Ledger(2)
    for seconds in (0.1, 0.4, 0.2, 0.3):
        ledger.cell(seconds, 0.05, 0.05, (f"case-{seconds}", "torch"))
    told = ledger.table()
    assert told.index("case-0.4") < told.index("case-0.3")
    assert "case-0.2" not in told


def test_run_tells_where_time_went(tmp_path: Path) -> None:
    """``run --durations`` ends with every stage and the slowest cells."""
    asked = ["run", "--adapter=numpy", f"--cases={CORPUS}", f"--output={tmp_path}", "--quiet", "--durations", "3"]
    # In a process of its own: another test may have had the same cases predicted in this one.
    done = subprocess.run([sys.executable, "-m", "conformance", *asked], capture_output=True, text=True, check=True)
    out = done.stdout
    assert list(STAGES) == [stage for stage in STAGES if f"\n{stage} " in out]
    assert 3 == out.count(" on numpy@")


def test_a_senseless_number_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No cell at all cannot be asked for."""
    assert 2 == main(["run", "--adapter=numpy", f"--output={tmp_path}", "--durations=0"])
    assert "--durations is 0, expected at least 1" in capsys.readouterr().err
