"""A line of progress on standard error: rewritten on a terminal, printed now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

__all__ = ["Progress"]

#: Seconds between lines on a terminal and in a log.
_PACE = {True: 0.1, False: 10.0}


class Progress:
    """Counts cells up to ``total``, from those that were ``done`` before."""

    def __init__(self, total: int, stream: TextIO | None = None, *, done: int = 0) -> None:
        self.total, self.done = total, done
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._started = self._said = time.monotonic()

    def step(self, name: str, verdict: str) -> None:
        """Count one cell of implementation ``name``."""
        self.done += 1
        now = time.monotonic()
        if now - self._said >= _PACE[self._terminal] or self.done == self.total:
            self._said = now
            self._say(f"{self.done}/{self.total} cells, {now - self._started:.0f} s; {name}: {verdict}")

    def close(self) -> None:
        """End the line."""
        if self._terminal:
            self._stream.write("\n")

    def _say(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()
