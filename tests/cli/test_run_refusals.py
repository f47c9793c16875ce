"""``conformance run`` refuses what it cannot do, before anything is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runs = Callable[..., Any]


# arguments; what the one message says
REFUSALS = {
    "adapter": (["--adapter=torhc"], "no adapter is named 'torhc'; did you mean torch"),
    "module": (["--adapter=nowhere:Adapter"], "adapter nowhere:Adapter: no module nowhere is found"),
    "case": (["--case=nonsense"], "case pattern 'nonsense' matches no case"),
    "file for a case": (["--case=small"], "hint: for the whole file write small/*"),
    "partial wildcard": (["--case=small/tr*"], "found the partial wildcard 'tr*'"),
    "workers": (["--workers=0"], "--workers is 0, expected at least 1"),
    "time limit": (["--time-limit=0"], "--time-limit is 0, expected a number of seconds above 0"),
    "time limit NaN": (["--time-limit=nan"], "--time-limit is nan, expected a number of seconds above 0"),
    "time limit infinite": (["--time-limit=inf"], "--time-limit is inf, expected a number of seconds above 0"),
    "memory limit": (["--memory-limit=0"], "--memory-limit is 0, expected a number of GiB above 0"),
    "no number": (["--workers=two"], "argument --workers: invalid int value: 'two'"),
    "device": (["--device=tpu"], "argument --device: invalid choice: 'tpu'"),
    "option": (["--adaptor=torch"], "unrecognized arguments: --adaptor=torch"),
    "cases": (["--cases=no/such/folder"], "no/such/folder: found no such folder, expected the case files there"),
    "deviations": (["--deviations=absent.yaml"], "absent.yaml: recorded deviations cannot be read: No such file"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(run: Runs, arguments: list[str], message: str) -> None:
    """A fault of the command line is one message and exit code 2, before anything is run or written."""
    ended = run(*arguments)
    assert (2, "") == (ended.code, ended.out)
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert not ended.folder.exists()


def test_a_malformed_case(run: Runs, tmp_path: Path) -> None:
    """A malformed case is one message with file, line and column, and nothing is run."""
    root = tmp_path / "cases"
    root.mkdir()
    (root / "own.yaml").write_text("title: Own\ncases:\n  - name: one\n    epsilon: small\n", "utf-8")
    ended = run(corpus=root)
    assert 2 == ended.code
    assert ended.err.startswith("conformance run: cases/own.yaml:")
    assert "Traceback" not in ended.err
    assert not ended.folder.exists()


def test_a_folder_that_cannot_be_written(run: Runs, tmp_path: Path) -> None:
    """An output folder that is a file is one message and exit code 2."""
    (tmp_path / "file").write_text("", "utf-8")
    ended = run(f"--output={tmp_path / 'file'}")
    assert 2 == ended.code
    assert "file/results.jsonl: cannot write results: " in ended.err
    assert "Traceback" not in ended.err
