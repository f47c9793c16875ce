"""The wheel holds the corpus and everything else that is no Python, and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from conformance.corpus.load import load_corpus
from conformance.results.read import read_results

ROOT = Path(__file__).parents[2]
#: One worker builds the wheel.
pytestmark = pytest.mark.xdist_group("wheel")


def files_of(folder: str) -> list[str]:
    """Return the files below a folder of the checkout, caches left out."""
    files = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return [path.as_posix() for path in files if not any(part.startswith((".", "__pycache__")) for part in path.parts)]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="session")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder to import the unpacked wheel from."""
    site = tmp_path_factory.mktemp("site")
    wheel.extractall(site)
    return site


def away(installed: Path, folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run Python on the unpacked wheel, in a folder outside the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_package_is_whole(wheel: zipfile.ZipFile) -> None:
    """Every file of the package is in the wheel: code, deviations, template, style, scripts, py.typed."""
    names = set(wheel.namelist())
    assert {"conformance/py.typed", "conformance/report/template.html", "conformance/deviations/torch.yaml"} <= names
    assert [] == [name for name in files_of("conformance") if name not in names]


def test_the_corpus_is_inside(wheel: zipfile.ZipFile) -> None:
    """Every case file and the schema are in the wheel, below the package."""
    names = set(wheel.namelist())
    assert "conformance/cases/case.schema.json" in names
    assert [] == [name for name in files_of("cases") if f"conformance/{name}" not in names]


def test_pages_that_messages_name_are_inside(wheel: zipfile.ZipFile, installed: Path, tmp_path: Path) -> None:
    """Every page of docs/ is in the wheel, and a message that names one away from the checkout names that file."""
    assert [] == [name for name in files_of("docs") if f"conformance/{name}" not in set(wheel.namelist())]
    (tmp_path / "hosts.json").write_text("[]", encoding="utf-8")
    said = away(installed, tmp_path, ["-m", "conformance", "list", "--implementations", "hosts.json"]).stderr
    assert f"hint: {installed / 'conformance' / 'docs' / 'hosts.md'} says how" in said


def test_nothing_else_is_inside(wheel: zipfile.ZipFile) -> None:
    """Nothing lands in site-packages beside the package: no tests, no tools."""
    assert {"conformance"} == {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}


def test_the_licence_and_the_command_are_inside(wheel: zipfile.ZipFile) -> None:
    """The metadata hold the licence and the console script."""
    names = [name for name in wheel.namelist() if ".dist-info/" in name]
    assert [True] == [name.endswith("/licenses/LICENSE") for name in names if "LICENSE" in name]
    (points,) = (wheel.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    assert "conformance = conformance.cli.main:main" in points


def test_it_lists_its_own_cases(installed: Path, tmp_path: Path) -> None:
    """Away from the checkout, `conformance list --cases` prints the cases that are in the wheel."""
    code = "from conformance.corpus.load import default_root; print(default_root())"
    root = away(installed, tmp_path, ["-c", code]).stdout.strip()
    assert str(installed / "conformance" / "cases") == root
    listed = away(installed, tmp_path, ["-m", "conformance", "list", "--cases"])
    assert [case.id for case in load_corpus()] == listed.stdout.split()


def test_it_runs_and_reports(installed: Path, tmp_path: Path) -> None:
    """Away from the checkout, `conformance run` asks, judges and writes results and report."""
    arguments = ["-m", "conformance", "run", "--adapter", "numpy", "--case", "running_stats/*", "--output", "out"]
    done = away(installed, tmp_path, arguments)
    assert (0, "") == (done.returncode, "\n".join(line for line in done.stderr.splitlines() if "cells, " not in line))
    assert read_results(tmp_path / "out").complete
    assert (tmp_path / "out" / "index.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
