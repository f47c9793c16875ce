"""A bundle there and back: what is judged is what a run judges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conformance.bundle.layout import file_name
from conformance.host.frames import Frame, decode, encode
from conformance.results.read import read_results
from conformance.results.rows import CellRow

Commands = Callable[..., Any]

ADAPTERS = [
    "numpy", "third_party:MomentumSwapped", "third_party:Stale", "third_party:Lacks", "third_party:Modest",
    "third_party:Careless",
]  # fmt: skip


def cells(folder: Path, name: str) -> dict[str, CellRow]:
    """Return the cells of an implementation by case, the time that they took left out."""
    results = read_results(folder)
    return {
        cell.case: msgspec.structs.replace(cell, seconds=0.0)
        for cell in results.cells
        if results.implementation(cell.implementation).name == name
    }


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_verdicts_are_those_of_a_run(command: Commands, bundle: Path, tmp_path: Path, adapter: str) -> None:
    """An adapter that answers a bundle gets, quantity by quantity, the cells that it gets in a run."""
    run = command("run", f"--adapter={adapter}", "--quiet", "--output", tmp_path / "run")
    assert 0 == command("answer", bundle, adapter).code
    imported = command("import", bundle, "--output", tmp_path / "recorded")
    assert run.code == imported.code
    name = adapter.partition(":")[2] or adapter
    assert cells(tmp_path / "run", name) == cells(tmp_path / "recorded", name) != {}


def test_columns_are_marked_as_recorded(command: Commands, answered: Path, tmp_path: Path) -> None:
    """Name, version and dialect are those of the answers, the provenance is recorded, and the page says so."""
    command("import", answered, "--output", tmp_path / "out")
    command("run", "--quiet", "--output", tmp_path / "run", "--adapter=numpy")
    (column,) = read_results(tmp_path / "out").run.implementations
    (executed,) = read_results(tmp_path / "run").run.implementations
    assert "recorded" == column.provenance
    assert msgspec.structs.replace(executed, provenance="recorded") == column
    assert "provenance recorded" in (tmp_path / "out" / "index.html").read_text()


def test_one_that_dies(command: Commands, bundle: Path, tmp_path: Path) -> None:
    """Where an implementation takes its host down the cell is crashed, and the others are answered."""
    command("answer", bundle, "third_party:Dies")
    imported = command("import", bundle, "--output", tmp_path / "out")
    verdicts = {case: cell.verdict for case, cell in cells(tmp_path / "out", "Dies").items()}
    assert {"agrees", "crashed"} == set(verdicts.values())
    assert 1 == imported.code


def test_several_columns(command: Commands, answered: Path, tmp_path: Path) -> None:
    """Each folder of answers is a column."""
    command("answer", answered, "third_party:Sound", "--label", "another-one")
    assert 0 == command("import", answered, "--output", tmp_path / "out").code
    names = {column.name for column in read_results(tmp_path / "out").run.implementations}
    assert {"numpy", "Sound"} == names


def test_going_on(command: Commands, answered: Path) -> None:
    """A program that was stopped answers what is missing, and leaves the rest alone."""
    kept = answered / "answers" / "numpy" / file_name(1)
    kept.write_bytes(b"mine")
    lost = answered / "answers" / "numpy" / file_name(2)
    lost.unlink()
    assert "1 answered now" in command("answer", answered, "numpy").out
    assert b"mine" == kept.read_bytes()
    assert lost.is_file()


def test_selected_cases_only(command: Commands, tmp_path: Path) -> None:
    """A part of the corpus is exported, and the report says that it is a part."""
    folder = tmp_path / "bundle"
    command("export", folder, "--case", "small/train")
    assert {"small/train[dtype=float32]", "small/train[dtype=float64]"} == set(
        json.loads((folder / "manifest.json").read_text())["cases"]
    )
    command("answer", folder, "numpy")
    command("import", folder, "--output", tmp_path / "out")
    assert "small/train" == read_results(tmp_path / "out").run.selection


def test_answers_carry_the_token_of_their_request() -> None:
    """A token travels with a message, and is none of its words."""
    mark = "abc"
    frame = decode(encode(Frame(b"{}", token=mark)))
    assert (mark, b"{}") == (frame.token, frame.message)


def test_an_export_overwrites_nothing(command: Commands, answered: Path) -> None:
    """A folder that holds something is refused, and left as it is."""
    before = sorted(answered.rglob("*"))
    again = command("export", answered)
    assert 2 == again.code
    assert "expected a new or an empty folder" in again.err
    assert before == sorted(answered.rglob("*"))
