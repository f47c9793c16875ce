"""Columns are written over spaces of the first row, within a page, so that no kill finds half of one."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from conformance.results.room import Room, with_room
from conformance.results.rows import ImplementationRow, RunRow

RUN = RunRow(suite="1", started="", machine={}, cases_digest="", cases=(), implementations=(), not_installed={"a": "b"})


def column(number: int, length: int = 0) -> ImplementationRow:
    return ImplementationRow(id=f"c{number}@1:eager:cpu", name=f"c{number}", versions={"c": "1"}, title="t" * length)


def made(path: Path, size: int, *known: ImplementationRow) -> Room:
    row, start, end = with_room(msgspec.structs.replace(RUN, implementations=known), size)
    path.write_bytes(row)
    return Room(path, start, end, first=not known)


def names(path: Path) -> list[str]:
    return [one.name for one in msgspec.json.decode(path.read_bytes(), type=RunRow).implementations]


@pytest.mark.parametrize("known", [(), (column(100),), (column(100), column(101))], ids=len)
def test_columns_are_added_one_by_one(tmp_path: Path, known: tuple[ImplementationRow, ...]) -> None:
    """After each the row can be read, and has it behind the others; what follows the columns stays."""
    file = tmp_path / "file"
    room, expected = made(file, 20000, *known), [one.name for one in known]
    for number in range(20):
        assert room.take(column(number, length=600))
        expected.append(f"c{number}")
        assert expected == names(file)
    assert {"a": "b"} == msgspec.json.decode(file.read_bytes(), type=RunRow).not_installed


def test_no_write_crosses_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system may leave half done when a process is killed is a write to two pages."""
    pages = []
    pwrite = os.pwrite

    def seen(descriptor: int, text: bytes, start: int) -> int:
        pages.append((start // 4096, (start + len(text) - 1) // 4096))
        return pwrite(descriptor, text, start)

    monkeypatch.setattr(os, "pwrite", seen)
    room = made(tmp_path / "file", 50000)
    for number in range(30):
        assert room.take(column(number, length=900))
    assert 30 == len(pages)
    assert all(first == last for first, last in pages)


def test_no_room(tmp_path: Path) -> None:
    """Where the room is too small, or the column larger than a page, nothing is written."""
    file = tmp_path / "file"
    assert not made(file, 0).take(column(1))
    assert not made(file, 20000).take(column(1, length=5000))
    assert [] == names(file)
