"""Room in the first row of a results file for columns that are not known yet: spaces, which JSON reads over.

A column is known once its host has started. Without room the file would be written anew for each, and a run of many
columns would spend its time copying what it has. What a column is written over are spaces of one page of memory, which
the operating system takes over at once: whenever the process is killed, the row holds the column or does not.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from conformance.results.rows import ImplementationRow, RunRow

__all__ = ["Room", "with_room"]

#: What a write lies within that is there as a whole or not at all.
_PAGE = 4096
_encode = msgspec.json.Encoder().encode
_EMPTY = b'"implementations":[]'


def with_room(run: RunRow, size: int) -> tuple[bytes, int, int]:
    """Return the first row, as text, with so many spaces behind its columns; and where they begin and end."""
    columns = b",".join(map(_encode, run.implementations))
    before, found, behind = _encode(msgspec.structs.replace(run, implementations=())).partition(_EMPTY)
    assert found
    start = before + _EMPTY[:-1] + columns
    return start + b" " * size + b"]" + behind + b"\n", len(start), len(start) + size


class Room:
    """The spaces of one file, from byte ``start`` to ``end``; ``first`` tells that no column is before them."""

    def __init__(self, path: Path, start: int, end: int, *, first: bool) -> None:
        self._path, self._start, self._end, self._first = path, start, end, first

    def take(self, column: ImplementationRow) -> bool:
        """Write a column there, and tell whether there was room.

        Raises:
            OSError: the file cannot be written.
        """
        text = (b"" if self._first else b",") + _encode(column)
        start = self._start
        if start // _PAGE != (start + len(text) - 1) // _PAGE:
            start = -(-start // _PAGE) * _PAGE
        if len(text) > _PAGE or start + len(text) > self._end:
            return False
        descriptor = os.open(self._path, os.O_WRONLY)
        try:
            written = os.pwrite(descriptor, text, start)
            while written < len(text):
                written += os.pwrite(descriptor, text[written:], start + written)
        finally:
            os.close(descriptor)
        self._start, self._first = start + len(text), False
        return True
