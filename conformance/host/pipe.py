"""The pipes to a host and back: exact counts of bytes, up to a deadline."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import final

__all__ = ["Pipe"]

#: Seconds between looks at the memory of a host that takes its time.
_LOOK = 0.02


@final
class Pipe:
    """Reads and writes exactly, up to one deadline; ``look`` is called now and then while it waits."""

    def __init__(self, to: int, from_: int, limit: float, look: Callable[[], None]) -> None:
        self._to, self._from, self._look = to, from_, look
        self._deadline = time.monotonic() + limit
        self._buffer = b""

    def what_is_left(self) -> bytes:
        """Return bytes that belong to no answer: they would be taken for that to the next request."""
        if not self._buffer:
            with contextlib.suppress(BlockingIOError):
                self._buffer = os.read(self._from, 2**16)
        return self._buffer

    def write(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:
                self._wait(self._to, select.POLLOUT)

    def read(self, count: int) -> bytearray:
        """Return exactly ``count`` bytes; of what a host sends too much, nothing is lost."""
        got = bytearray(self._buffer[:count])
        self._buffer = self._buffer[count:]
        while len(got) < count:
            try:
                # Never much more than is there: a host that lies about its length costs no memory.
                piece = os.read(self._from, max(2**16, min(count - len(got), 2**22)))
            except BlockingIOError:
                self._wait(self._from, select.POLLIN)
                continue
            if not piece:
                raise EOFError
            wanted = count - len(got)
            got += piece[:wanted]
            self._buffer = piece[wanted:]
        return got

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        while (left := self._deadline - time.monotonic()) > 0:
            if poll.poll(min(left, _LOOK) * 1000):
                return
            self._look()
        raise TimeoutError
