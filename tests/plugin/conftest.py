"""Runs pytest on a small corpus of its own, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.results.read import Results, read_results

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    """How pytest ended."""

    code: int
    out: str
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "reports" / "latest"

    @property
    def results(self) -> Results:
        return read_results(self.folder)

    @property
    def counts(self) -> dict[str, int]:
        """Return the numbers of the last line, such as ``{"passed": 4}``."""
        last = self.out.strip().splitlines()[-1]
        return {word.rstrip("s"): int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", last) if word != "in"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a checkout in small: case files, the wiring, one test."""
    shutil.copytree(TESTS / "fakes" / "corpus", tmp_path / "cases")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["conformance.pytest_plugin"]\n', "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --dist=loadgroup -rfE\nxfail_strict = true\n", "utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_one.py").write_text("def test_one() -> None:\n    pass\n", "utf-8")
    return tmp_path


@pytest.fixture
def run(root: Path) -> Callable[..., Ended]:
    """Return pytest in that checkout, started from ``start`` below it."""

    def command(*arguments: str, adapter: str = "", start: str = "") -> Ended:
        adapters = [f"--adapter=third_party:{adapter}"] if adapter else []
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))},
            "PYTHONPATH": os.pathsep.join(map(str, (TESTS / "fakes", TESTS / "host", TESTS.parent))), "COLUMNS": "200",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *adapters, *arguments],
            cwd=root / start, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout + done.stderr, root)

    return command
