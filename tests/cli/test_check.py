"""The verb ``check`` prints findings with their places and says so in its exit code."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from conformance.cli import check
from conformance.errors import CaseError, UsageError


def run(*arguments: str) -> int:
    """Run the verb with these arguments."""
    parser = argparse.ArgumentParser()
    check.configure(parser)
    return check.execute(parser.parse_args(arguments))


def test_the_corpus_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    """The suite's own corpus gives one line and exit code 0."""
    assert 0 == run()
    assert re.fullmatch(r"\d+ cases, \d+ clauses, no findings\n", capsys.readouterr().out)


def test_a_finding_is_printed_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding is a line of file, line and message, and exit code 1."""
    root = tmp_path / "cases"
    root.mkdir()
    (root / "own.yaml").write_text(
        "title: T\ncases:\n  - name: n\n    fact: It should work.\n"
        '    clauses: ["1.1"]\n    steps: [{train: a}]\n',
        encoding="utf-8",
    )
    assert 1 == run(str(root))
    finding, summary = capsys.readouterr().out.splitlines()
    assert finding.startswith("cases/own.yaml:3: the fact says 'should'")
    assert summary.endswith("clauses, 1 finding")


def test_a_malformed_file_is_bad_input(tmp_path: Path) -> None:
    """A file that does not load is refused as such, not linted."""
    (tmp_path / "own.yaml").write_text("title: [", encoding="utf-8")
    with pytest.raises(CaseError, match=r"own.yaml:\d+:\d+: "):
        run(str(tmp_path))


def test_writing_needs_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package has no generated files to write."""
    monkeypatch.setattr(check, "checkout", lambda: None)
    with pytest.raises(UsageError, match="found no checkout"):
        run("--write")


def test_an_installed_package_has_no_stale_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Away from a checkout the generated files are not looked for."""
    monkeypatch.setattr(check, "checkout", lambda: None)
    assert 0 == run()
    assert "no findings" in capsys.readouterr().out
