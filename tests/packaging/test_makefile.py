"""make hands on what a user gives it, and says what it lacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    """Return the option that makes the environment in an empty folder."""
    return f"VENV={tmp_path / 'venv'}"


def test_the_python_is_chosen(elsewhere: str) -> None:
    """`make PYTHON=...` makes the environment with that Python."""
    assert (
        f"python3.99 -m venv {elsewhere.partition('=')[2]}"
        in make("-n", elsewhere, "PYTHON=python3.99", "report").stdout
    )


def test_wheels_of_torch_come_from_where_one_says(elsewhere: str) -> None:
    """`make TORCH_WHEELS=...` hands its words to pip."""
    asked = make("-n", elsewhere, "TORCH_WHEELS=--find-links wheels", "report").stdout
    (line,) = (line for line in asked.splitlines() if "--constraint" in line)
    assert line.endswith("torch tensorflow-cpu jax flax keras --find-links wheels")


def test_a_python_too_old_is_told(elsewhere: str) -> None:
    """A Python that the frameworks cannot have ends make with one message, before anything is installed."""
    ended = make(elsewhere, "PYTHON=false", "test")
    assert 2 == ended.returncode
    assert "need Python 3.11 or later" in ended.stderr
    assert "make PYTHON=python3.12 test" in ended.stderr


def test_the_environment_is_made_once(elsewhere: str) -> None:
    """With the stamp younger than what is pinned, nothing is installed."""
    stamp = Path(elsewhere.partition("=")[2]) / "installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert "pip install" not in make("-n", elsewhere, "report").stdout


@pytest.mark.parametrize("target", ["report", "test", "lint", "corpus", "versions", "matrix", "bench"])
def test_targets_are_listed(target: str) -> None:
    """`make help` names the targets."""
    assert target in [line.split()[0] for line in make("help").stdout.splitlines()]
