"""Answers that are missing, torn, malformed, foreign or hostile: told apart, and nobody else's loss."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.bundle.layout import file_name
from conformance.host.frames import Frame, decode, encode
from conformance.results.read import read_results

Commands = Callable[..., Any]
Spoil = Callable[[Path], None]

CASES = 4


def spoiled(folder: Path, number: int = 1) -> Path:
    return folder / "answers" / "numpy" / file_name(number)


def torn(folder: Path) -> None:
    image = spoiled(folder).read_bytes()
    spoiled(folder).write_bytes(image[: len(image) // 2])


def missing(folder: Path) -> None:
    spoiled(folder).unlink()


def text(folder: Path) -> None:
    spoiled(folder).write_text("Error: out of memory")


def another_ones(folder: Path) -> None:
    spoiled(folder).write_bytes(spoiled(folder, 2).read_bytes())


def without_token(folder: Path) -> None:
    frame = decode(spoiled(folder).read_bytes())
    spoiled(folder).write_bytes(encode(Frame(frame.message, frame.arrays)))


def link(folder: Path) -> None:
    spoiled(folder).unlink()
    spoiled(folder).symlink_to(Path(__file__))


def pipe(folder: Path) -> None:
    spoiled(folder).unlink()
    os.mkfifo(spoiled(folder))


def huge(folder: Path) -> None:
    with spoiled(folder).open("r+b") as file:
        file.truncate(2**34)  # sparse


def stranger(folder: Path) -> None:
    spoiled(folder, 77777).write_bytes(b"")


SPOILT: dict[str, tuple[Spoil, str, int]] = {
    "torn": (torn, "torn or malformed: the message is cut off", CASES - 1),
    "missing": (missing, "1 of 4 answers are missing", CASES - 1),
    "text": (text, "torn or malformed: not a message", CASES - 1),
    "of another request": (another_ones, "this does not answer small/", CASES - 1),
    "without its token": (without_token, "found no token, expected ", CASES - 1),
    "a link": (link, "found a link, expected a plain file", CASES - 1),
    "a pipe": (pipe, "found no plain file", CASES - 1),
    "huge": (huge, "found 17179869184 bytes, expected at most", CASES - 1),
    "a stranger": (stranger, "answers no request of this bundle", CASES),
}


@pytest.mark.parametrize(("spoil", "message", "left"), SPOILT.values(), ids=SPOILT)
def test_an_answer_that_is_none(
    command: Commands, answered: Path, tmp_path: Path, spoil: Spoil, message: str, left: int
) -> None:
    """It is named with what was expected; the others are judged, and the run says that it is partial."""
    spoil(answered)
    ended = command("import", answered, "--output", tmp_path / "out")
    assert 2 == ended.code
    assert message in ended.err
    results = read_results(tmp_path / "out")
    assert ["agrees"] * left == [cell.verdict for cell in results.cells]
    assert not results.complete
    assert (tmp_path / "out" / "index.html").is_file()


def put(folder: Path, number: int, message: bytes, **arrays: Any) -> None:
    """Replace an answer by one with the same token."""
    token = decode(spoiled(folder, number).read_bytes()).token
    spoiled(folder, number).write_bytes(encode(Frame(message, arrays, token)))


BROKEN: dict[str, tuple[bytes, dict[str, Any]]] = {
    "no JSON": (b"oops", {}),
    "deep": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}),
    "unknown option": (b'{"dialect": {"running_variance": "huge"}}', {}),
    "odd array": (b'{"dialect": {}, "steps": [{}]}', {"y": np.zeros(3)}),
    "number of thousands of digits": (b'{"dialect": {}, "steps": [{}]}', {f"{'9' * 5000}:y": np.zeros(3)}),
    "no steps": (b'{"dialect": {}, "steps": []}', {}),
    "more steps": (b'{"dialect": {}, "steps": [{}, {}, {}, {}, {}, {}, {}]}', {}),
    "a fault": (b'{"error": {"step": "run", "type": "Broken", "message": "oh"}}', {}),
}


@pytest.mark.parametrize(("message", "arrays"), BROKEN.values(), ids=BROKEN)
def test_an_answer_against_the_protocol(
    command: Commands, answered: Path, tmp_path: Path, message: bytes, arrays: dict[str, Any]
) -> None:
    """It is void, as it is in a run; the others are judged."""
    put(answered, 1, message, **arrays)
    ended = command("import", answered, "--output", tmp_path / "out")
    assert 3 == ended.code
    verdicts = [cell.verdict for cell in read_results(tmp_path / "out").cells]
    assert ["void"] + ["agrees"] * (CASES - 1) == verdicts


ODD: dict[str, tuple[bytes, str]] = {
    "no name": (b'{"implementation": {"name": "", "versions": {"a": "1"}}}', "found name ''"),
    "a path": (b'{"implementation": {"name": "../../etc", "versions": {"a": "1"}}}', "found name '../../etc'"),
    "a column of two": (b'{"implementation": {"name": "a", "versions": {"a": "1:jit:cpu"}}}', "found version '1:jit"),
    "escapes": (b'{"implementation": {"name": "a", "versions": {"a": "1", "b": "\\u001b[2J"}}}', "not printable"),
    "no versions": (b'{"implementation": {"name": "a", "versions": {}}}', "found version ''"),
    "a fault": (b'{"error": {"step": "import", "type": "E", "message": "no licence"}}', "no licence"),
    "nothing": (b"{}", "malformed answer"),
}


@pytest.mark.parametrize(("message", "said"), ODD.values(), ids=ODD)
def test_who_answered_is_not_said_properly(
    command: Commands, answered: Path, tmp_path: Path, message: bytes, said: str
) -> None:
    """The column is refused with what was found; that of another implementation is imported."""
    command("answer", answered, "third_party:Sound")
    spoiled(answered, 0).write_bytes(encode(Frame(message)))
    ended = command("import", answered, "--output", tmp_path / "out")
    assert 2 == ended.code
    assert said in ended.err
    assert ["Sound"] == [column.name for column in read_results(tmp_path / "out").run.implementations]


def test_two_of_one_name(command: Commands, answered: Path, tmp_path: Path) -> None:
    """Of two folders that describe one implementation the first counts, and the other is named."""
    command("answer", answered, "numpy", "--label", "second")
    ended = command("import", answered, "--output", tmp_path / "out")
    assert "only the first is imported" in ended.err
    assert CASES == len(read_results(tmp_path / "out").cells)


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def of_a_later_format(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {"bundle": 99}))


def of_another_corpus(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {"cases": ["../../x"]}))


def malformed_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"bundle": 1, "cases": 3}')


def linked_answers(folder: Path) -> None:
    (folder / "answers" / "numpy").rename(folder / "elsewhere")
    (folder / "answers" / "numpy").symlink_to(folder / "elsewhere")


def no_answers(folder: Path) -> None:
    (folder / "answers" / "numpy").rename(folder / "elsewhere")


WHOLE: dict[str, tuple[Spoil, str]] = {
    "no manifest": (without_manifest, "found no manifest.json, expected a bundle"),
    "later format": (of_a_later_format, "found format 99, expected 1"),
    "another corpus": (of_another_corpus, "found none of its cases in the corpus"),
    "malformed manifest": (malformed_manifest, "malformed: "),
    "linked folder": (linked_answers, "found a link, expected a folder"),
    "no answers": (no_answers, "found it empty, expected a folder for each implementation"),
}


@pytest.mark.parametrize(("spoil", "message"), WHOLE.values(), ids=WHOLE)
def test_a_folder_that_is_no_bundle(
    command: Commands, answered: Path, tmp_path: Path, spoil: Spoil, message: str
) -> None:
    """It is refused with what was found and what was expected."""
    spoil(answered)
    ended = command("import", answered, "--output", tmp_path / "out")
    assert (2, True) == (ended.code, message in ended.err)


def test_a_changed_question(command: Commands, answered: Path, tmp_path: Path) -> None:
    """Answers to a question that is asked otherwise today are refused: they are no answers to it."""
    text = (Path(__file__).parents[1] / "fakes" / "corpus" / "small.yaml").read_text()
    (tmp_path / "small.yaml").write_text(text.replace("5x3", "6x3"))
    ended = command("import", answered, "--output", tmp_path / "out", corpus=tmp_path)
    assert 2 == ended.code
    assert "the case has changed since the export" in ended.err
    assert () == read_results(tmp_path / "out").cells
