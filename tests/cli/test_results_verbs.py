"""The verbs that work on results files: report, merge, diff, show, summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.cli.main import main
from conformance.results.read import Results, read_results
from conformance.results.rows import CaseRow, CellRow, ImplementationRow, QuantityRow, RunRow, Verdict
from conformance.results.writer import write_results

CASE = "running_stats/probe[dtype=float32]"


def written(folder: Path, version: str, verdict: Verdict) -> Path:
    identifier = f"torch@{version}:eager:cpu"
    row = QuantityRow(
        step=1, name="running_var", clause="3.2", verdict=verdict, ratio=1200.0, bound=1e-7, worst_index=(2,),
        expected=(1.3,), observed=(1.1666667,), variant="population" if verdict == "differs" else None,
    )  # fmt: skip
    run = RunRow(
        suite="0.1.0", started="2026-01-01T00:00:00Z", machine={}, cases_digest="d",
        cases=(CaseRow(id=CASE, fact="The probe tells the estimator", clauses=("3.2",)),),
        implementations=(ImplementationRow(id=identifier, name="torch", versions={"torch": version}),),
    )  # fmt: skip
    cell = CellRow(case=CASE, implementation=identifier, verdict=verdict, quantities=(row,))
    return write_results(Results(run=run, cells=(cell,), complete=True), folder)


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report lies beside the results unless told otherwise, and its path is printed."""
    results = written(tmp_path, "2.1", "agrees")
    assert 0 == main(["report", str(results)])
    assert f"{tmp_path / 'index.html'}\n" == capsys.readouterr().out
    assert 0 == main(["report", str(tmp_path), "--output", str(tmp_path / "other")])
    assert (tmp_path / "other" / "index.html").read_bytes() == (tmp_path / "index.html").read_bytes()


def test_merge(tmp_path: Path) -> None:
    """Two versions become one file with two columns, and its report."""
    old, new = written(tmp_path / "old", "2.1", "agrees"), written(tmp_path / "new", "2.2", "differs")
    assert 0 == main(["merge", str(old), str(new), "--output", str(tmp_path / "both")])
    assert 2 == len(read_results(tmp_path / "both").run.implementations)
    assert "torch 2.2" in (tmp_path / "both" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["pretty", "markdown", "json"])
def test_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A regression is listed, and makes the exit code 1."""
    old, new = written(tmp_path / "old", "2.1", "agrees"), written(tmp_path / "new", "2.2", "differs")
    assert 1 == main(["diff", str(old), str(new), "--format", form])
    printed = capsys.readouterr().out
    assert "regressed" in printed.lower()
    assert "running_stats/probe" in printed.replace("\\", "")
    assert 0 == main(["diff", str(new), str(old)])


def test_torn_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file torn in its last row all whole rows are shown, and it is said that cells may be missing."""
    results = written(tmp_path, "2.1", "agrees")
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join([*lines[:2], lines[2][:5]]))
    assert 0 == main(["show", str(tmp_path)])
    assert "1 of 1 cells; PARTIAL: the run did not finish" in capsys.readouterr().out
    results.write_bytes(b"".join([lines[0], lines[1][:200]]))
    assert 2 == main(["show", str(tmp_path)])
    assert "no cell of 0 fits; PARTIAL: the run did not finish" in capsys.readouterr().err
    asked = "running_stats/probe[dtype=float32]"
    assert 2 == main(["explain", asked, "torch", "--results", str(tmp_path)])
    assert "the results have no cell of" in (said := capsys.readouterr().err)
    assert "PARTIAL: the run did not finish" in said


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell is shown with its numbers and what explains it."""
    results = written(tmp_path, "2.1", "differs")
    arguments = ["--case", "running_stats/probe", "--verdict", "differs", "--implementation", "torch"]
    assert 0 == main(["show", str(results), *arguments])
    expected = """\
differs  running_stats/probe[dtype=float32]  torch@2.1:eager:cpu
  The probe tells the estimator
  step 1 running_var: differs, error 1200 times the bound 1e-07, worst at [2], variant population
    expected  1.3
    observed  1.16667

1 of 1 cells
"""
    assert expected == capsys.readouterr().out


def test_show_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no cell fits, the message says how many there are and what to widen."""
    results = written(tmp_path, "2.1", "agrees")
    assert 2 == main(["show", str(results), "--verdict", "crashed"])
    assert "no cell of 1 fits\n  hint: widen" in capsys.readouterr().err


def test_show_a_column_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The columns that there are are told."""
    assert 2 == main(["show", str(written(tmp_path, "2.1", "agrees")), "--implementation", "jax"])
    assert "no column is named 'jax'\n  hint: columns are torch@2.1:eager:cpu" in capsys.readouterr().err


def test_a_folder_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is told as it was given."""
    assert 2 == main(["show", str(tmp_path)])
    assert f"{tmp_path}: holds no results.jsonl" in capsys.readouterr().err


def test_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The counts are printed."""
    assert 0 == main(["summary", str(written(tmp_path, "2.1", "agrees"))])
    assert "torch@2.1:eager:cpu       1      1         1" in capsys.readouterr().out


def test_bad_input_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there ends in exit code 2 and one message."""
    for verb in ("report", "summary", "show"):
        assert 2 == main([verb, str(tmp_path / "none.jsonl")])
        assert f"conformance {verb}: {tmp_path / 'none.jsonl'}: cannot read results" in capsys.readouterr().err
