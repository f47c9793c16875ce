"""The last words of a host: what it wrote to standard error."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import IO, final

__all__ = ["Tail"]

_TAIL_LINES = 20
_LINE_LIMIT = 2000


@final
class Tail:
    """Drains a stream in a thread and keeps its last lines."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._thread = threading.Thread(target=self._drain, daemon=True, name="host stderr")
        self._thread.start()

    def lines(self) -> list[str]:
        """Return the last lines, once the stream has ended or a moment has passed."""
        self._thread.join(0.5)
        return list(self._lines)

    def finish(self) -> None:
        """Wait a moment for the stream to end."""
        self._thread.join(0.5)

    def _drain(self) -> None:
        unfinished = b""
        with self._stream:
            while piece := os.read(self._stream.fileno(), 2**16):
                *whole, unfinished = (unfinished + piece).split(b"\n")
                self._lines.extend(map(_text, whole))
                unfinished = unfinished[-_LINE_LIMIT:]
        if unfinished:
            self._lines.append(_text(unfinished))


def _text(line: bytes) -> str:
    return line[-_LINE_LIMIT:].decode(errors="replace").rstrip()
