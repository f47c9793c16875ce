"""The client's end of a host: starts the process, sends, waits for no longer than allowed, kills."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, final

from conformance.errors import HostError
from conformance.host.frames import Frame, encode, read_frame

__all__ = ["Host", "HostDied", "HostTimedOut"]

_TAIL_LINES = 20
_LINE_LIMIT = 2000
#: Seconds that a host is given to end by itself, or to be reaped.
_GRACE = 2.0


class HostDied(HostError):  # noqa: N818  (reads as what happened)
    """The process ended without an answer."""


class HostTimedOut(HostError):  # noqa: N818
    """No answer came in time; the process has been killed, and all that it had started."""


@final
class Host:
    """One process that answers requests; POSIX only.

    Args:
        command: the program and its arguments.
        environment: all its environment variables.
        time_limit: seconds for a request, unless the request says otherwise.
        memory_limit: bytes of address space (Linux only); ``None`` for no limit.
        directory: where it runs; ``None`` for here.

    Raises:
        HostError: the program cannot be started.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], time_limit: float,
        memory_limit: int | None = None, directory: Path | None = None,
    ) -> None:  # fmt: skip
        self.command, self.time_limit = tuple(command), time_limit
        try:
            # A session of its own, so that the whole group can be killed.
            self._process = subprocess.Popen(  # noqa: S603  (the user names the program)
                self.command, env=dict(environment), cwd=directory, start_new_session=True, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            raise HostError(f"the host cannot be started: {error}", hint=f"command: {' '.join(self.command)}") from None
        _limit_memory(self._process.pid, memory_limit)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        os.set_blocking(self._to.fileno(), False)
        os.set_blocking(self._from.fileno(), False)
        self._stderr = _Tail(self._process.stderr)
        self._lock = threading.Lock()

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Return whether the process runs and its pipes are open."""
        return not self._to.closed and not self._has_ended()

    def request(self, frame: Frame, time_limit: float | None = None) -> Frame:
        """Send a message and return the answer. One thread at a time; others wait.

        Raises:
            HostDied: the process ended instead.
            HostTimedOut: the answer took longer than the limit.
            HostError: what came is no message. In each case the host is closed.
        """
        limit = self.time_limit if time_limit is None else time_limit
        with self._lock:
            if self._to.closed:
                raise HostError("the host has been closed")
            image = encode(frame)
            pipe = _Pipe(self._to.fileno(), self._from.fileno(), limit)
            try:
                pipe.write(image)
                return read_frame(pipe.read)
            except TimeoutError:
                self._kill()
                raise HostTimedOut(f"no answer within the time limit of {limit:g} s{self._last_words()}") from None
            except (EOFError, BrokenPipeError):
                raise HostDied(f"the host {self._end()}{self._last_words()}") from None
            except BaseException:  # interrupted or garbled: what comes next is no answer to the next request
                self._kill()
                raise

    def send_and_close(self, frame: Frame) -> None:
        """Send a last message that has no answer, give the host a moment to end, and close."""
        with self._lock, contextlib.suppress(OSError, TimeoutError):
            if not self._to.closed:
                _Pipe(self._to.fileno(), self._from.fileno(), _GRACE).write(encode(frame))
                self._to.close()
                self._await_end()
        self.close()

    def close(self) -> None:
        """Kill the process with all that it started, and reap it. Can be called again, by any thread."""
        self._kill()

    def _kill(self) -> None:
        # Before it is reaped: until then the id of the group cannot have passed to others.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()
        self._stderr.finish()

    def _has_ended(self) -> bool:
        # Without reaping: what the process started is killed by its group's id first.
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _await_end(self) -> bool:
        """Return whether the process ends by itself while it is waited for."""
        deadline = time.monotonic() + _GRACE
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(0.002)
        return self._has_ended()

    def _end(self) -> str:
        """Wait for the process to end, and return how it did."""
        ended = self._await_end()
        self._kill()
        if not ended:
            return "closed its pipe"
        status = self._process.returncode
        if status < 0:
            return f"was killed by {_signal_name(-status)}"
        return f"ended with exit status {status}"

    def _last_words(self) -> str:
        lines = self._stderr.lines()
        return "; its last words:\n" + "\n".join(f"    {line}" for line in lines) if lines else ""


class _Pipe:
    """Reads and writes exactly, up to one deadline."""

    def __init__(self, to: int, from_: int, limit: float) -> None:
        self._to, self._from = to, from_
        self._deadline = time.monotonic() + limit
        self._buffer = b""

    def write(self, data: bytes) -> None:
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
        left = self._deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError


class _Tail:
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


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _limit_memory(process: int, limit: int | None) -> None:
    if limit is not None and hasattr(resource, "prlimit"):
        resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))
