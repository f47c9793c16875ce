"""Collecting the corpus imports no framework and selects by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: A plugin that prints which frameworks were imported by the end of the run.
SPY = """
import sys

def pytest_unconfigure():
    heavy = {"torch", "tensorflow", "keras", "jax", "jaxlib", "flax", "conformance.adapters.numpy"}
    print("imported:", sorted(heavy & set(sys.modules)))
"""


def collected(tmp_path: Path, *arguments: str) -> list[str]:
    """Return the lines of collecting the suite's own corpus."""
    (tmp_path / "spy.py").write_text(SPY, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "spy", "--collect-only", "-q", *arguments],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_no_framework_is_imported(tmp_path: Path) -> None:
    """Collecting every case for every implementation imports none of them."""
    lines = collected(tmp_path, "cases")
    assert "imported: []" in lines
    for adapter in ("numpy", "torch", "keras-tensorflow", "flax-linen"):
        assert any(line.endswith(f"@{adapter}") for line in lines), f"{adapter} is not installed"


def test_a_keyword_selects_by_file_and_implementation(tmp_path: Path) -> None:
    """``-k 'running_stats and torch'`` selects the cells of that file on that implementation."""
    items = [line for line in collected(tmp_path, "cases", "-k", "running_stats and torch") if "::" in line]
    assert items
    assert all(item.startswith("cases/running_stats.yaml::") and item.endswith("@torch") for item in items)


@pytest.mark.parametrize("arguments", [["--case=running_stats/*"], ["--case=running_stats/*", "--adapter=torch"]])
def test_options_select(tmp_path: Path, arguments: list[str]) -> None:
    """``--case`` and ``--adapter`` narrow what is collected."""
    items = [line for line in collected(tmp_path, "cases", *arguments) if "::" in line]
    assert {"cases/running_stats.yaml"} == {item.partition("::")[0] for item in items}
    if len(arguments) == 2:
        assert {"torch", "numpy"} == {item.rpartition("@")[2] for item in items}


def test_tagged_cases_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    """``--tag`` adds the cases with that tag to those without one."""
    files = ("cases/large.yaml", "cases/nan.yaml", "--adapter=torch")
    without = [line for line in collected(tmp_path, *files) if "::" in line]
    with_tag = [line for line in collected(tmp_path, *files, "--tag=large") if "::" in line]
    assert {"cases/nan.yaml"} == {item.partition("::")[0] for item in without}
    assert {"cases/nan.yaml", "cases/large.yaml"} == {item.partition("::")[0] for item in with_tag}
    assert set(without) < set(with_tag)
