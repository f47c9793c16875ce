"""``conformance run`` on the small corpus of the fakes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.cli.main import main
from conformance.results.read import Results, read_results

TESTS = Path(__file__).parents[1]
CORPUS = TESTS / "fakes" / "corpus"


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, what it said, and the folder that it wrote."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def results(self) -> Results:
        return read_results(self.folder)

    @property
    def has_report(self) -> bool:
        return (self.folder / "index.html").is_file()

    def verdicts(self, name: str) -> dict[str, str]:
        """Return the verdict of each case, by the part of its id in front of the variation."""
        return {
            cell.case.removeprefix("small/"): cell.verdict
            for cell in self.results.cells
            if cell.implementation.partition("@")[0] == name
        }


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Return the command on the small corpus; adapters are looked for among the fakes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS / "fakes"), str(TESTS / "host")]))

    def command(*arguments: str, adapter: str = "", corpus: Path | None = CORPUS) -> Ended:
        adapters = [f"--adapter=third_party:{adapter}"] if adapter else []
        cases = [f"--cases={corpus}"] if corpus is not None else []
        try:
            code = main(["run", *adapters, *cases, f"--output={tmp_path / 'out'}", "--quiet", *arguments])
        except SystemExit as error:  # argparse's
            code = int(error.code or 0)
        return Ended(code, *capsys.readouterr(), tmp_path / "out")

    return command
