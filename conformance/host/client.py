"""The client's end of a host: starts the process, sends, waits for no longer than allowed, kills."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import final

from conformance.errors import HostError
from conformance.host.frames import Frame, read_frame
from conformance.host.pipe import Pipe
from conformance.host.tail import Tail

__all__ = ["Host", "HostDied", "HostMixedUp", "HostOutgrew", "HostTimedOut", "HostUnfit"]

#: Seconds that a host is given to end by itself; to be gone once it is killed, which takes a while with much memory.
_GRACE, _REAPED = 2.0, 30.0
#: Signals by which others end a process; a fault of its own raises another, or none.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# All hosts are started by one thread, which lives as long as this process: the kernel kills a host of ours
# when the thread that started it is gone (see worker.py), and so a host outlives nobody.
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="starts hosts")


class HostDied(HostError):  # noqa: N818  (reads as what happened)
    """The process ended without an answer; ``signal`` is what killed it, 0 if it ended by itself."""

    def __init__(self, message: str, *, signal: int = 0) -> None:
        super().__init__(message)
        self.signal = signal

    @property
    def from_outside(self) -> bool:
        """Tell whether somebody else ended it: an operator, or the system that ran out of memory."""
        return self.signal in _FROM_OUTSIDE


class HostUnfit(HostDied):
    """Before the request was sent it had ended, or said what nobody had asked: no fault of this request's."""

    @property
    def from_outside(self) -> bool:
        """Tell that the request has no part in it."""
        return True


class HostMixedUp(HostError):  # noqa: N818
    """It answered another request than the last one: what it says can be taken for nobody's answer."""


class HostTimedOut(HostError):  # noqa: N818
    """No answer came in time; the process has been killed, and all that it had started."""


class HostOutgrew(HostError):  # noqa: N818
    """The process held more memory than allowed, and has been killed."""


@final
class Host:
    """One process that answers requests; POSIX only.

    Args:
        command: the program and its arguments.
        environment: all its environment variables.
        time_limit: seconds for a request, unless the request says otherwise.
        memory_limit: bytes that the process may hold in memory (Linux only), looked at while it is waited
            for; ``None`` for no limit. Address space is not counted: frameworks reserve far more than they use.
        directory: where it runs; ``None`` for here.

    Raises:
        HostError: the program cannot be started.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], time_limit: float,
        memory_limit: int | None = None, directory: Path | None = None,
    ) -> None:  # fmt: skip
        self.command, self.time_limit, self.memory_limit = tuple(command), time_limit, memory_limit
        try:
            # A session of its own, so that the whole group can be killed.
            self._process = _STARTER.submit(
                subprocess.Popen, self.command, env=dict(environment), cwd=directory, start_new_session=True,
                bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            ).result()  # fmt: skip
        except OSError as error:
            raise HostError(f"the host cannot be started: {error}", hint=f"command: {' '.join(self.command)}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        os.set_blocking(self._to.fileno(), False)
        os.set_blocking(self._from.fileno(), False)
        self._stderr = Tail(self._process.stderr)
        self._lock = threading.Lock()
        self._answered = False

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
            HostUnfit: the request was not sent.
            HostTimedOut: the answer took longer than the limit.
            HostOutgrew: the process took more memory than its limit.
            HostError: what came is no message, or more than one. In each case the host is closed.
        """
        image = frame.image
        with self._talk(time_limit) as pipe:
            self._write(pipe, image)
            return self._only_answer(pipe)

    def send(self, frame: Frame, time_limit: float | None = None) -> None:
        """Send a message whose answer is ``receive``d later; nothing else may be asked before.

        Raises:
            HostError: as ``request`` does.
        """
        image = frame.image
        with self._talk(time_limit) as pipe:
            self._write(pipe, image)

    def receive(self, time_limit: float | None = None) -> Frame:
        """Return the answer to what was sent; the limit is for what it takes from now on.

        Raises:
            HostError: as ``request`` does.
        """
        with self._talk(time_limit) as pipe:
            return self._only_answer(pipe)

    def send_and_close(self, frame: Frame) -> None:
        """Send a last message that has no answer, give the host a moment to end, and close."""
        with self._lock, contextlib.suppress(OSError, TimeoutError):
            if not self._to.closed:
                Pipe(self._to.fileno(), self._from.fileno(), _GRACE, self._check_memory).write(frame.image)
                self._to.close()
                self._await_end()
        self.close()

    def close(self) -> None:
        """Kill the process with all that it started, and reap it. Can be called again, by any thread."""
        self._signal()
        # A thread that waits for an answer sees the pipe end, and lets go; until then its descriptors are not closed:
        # their numbers could pass to another host. One whose pipe somebody else holds open is not waited for.
        waited = self._lock.acquire(timeout=_REAPED)
        try:
            self._kill()
        finally:
            if waited:
                self._lock.release()

    def _signal(self) -> None:
        # Before it is reaped: until then the id of the group cannot have passed to others.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _kill(self) -> None:
        self._signal()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPED)
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()
        self._stderr.finish()

    @contextlib.contextmanager
    def _talk(self, time_limit: float | None) -> Iterator[Pipe]:
        """Hold the pipes; whatever goes wrong closes the host, and is told as an error of it."""
        limit = self.time_limit if time_limit is None else time_limit
        with self._lock:
            if self._to.closed:
                raise HostError("the host has been closed")
            try:
                yield Pipe(self._to.fileno(), self._from.fileno(), limit, self._check_memory)
            except TimeoutError:
                self._kill()
                raise HostTimedOut(f"no answer within the time limit of {limit:g} s{self._last_words()}") from None
            except (EOFError, BrokenPipeError):
                told = f"the host {self._end()}{self._last_words()}"
                raise HostDied(told, signal=-min(self._process.returncode or 0, 0)) from None
            except BaseException:  # interrupted or garbled: what comes next is no answer to the next request
                self._kill()
                raise

    def _write(self, pipe: Pipe, image: bytes) -> None:
        if self._answered:  # what is said before the first request is read as its answer, and refused
            self._check_fit(pipe)
        pipe.write(image)

    def _only_answer(self, pipe: Pipe) -> Frame:
        answer = read_frame(pipe.read)
        self._answered = True
        if left := pipe.what_is_left():
            raise HostError(
                f"more came than was asked for: {left[:20]!r}",
                hint="a host answers each request once, and writes nothing else to its pipe",
            )
        return answer

    def _check_fit(self, pipe: Pipe) -> None:
        if told := pipe.what_is_left():
            raise HostUnfit(f"the host said what nobody asked: {told[:20]!r}")
        if self._has_ended():
            raise HostUnfit(f"the host {self._end()}{self._last_words()}")

    def _check_memory(self) -> None:
        held = None if self.memory_limit is None else _resident(self._process.pid)
        if held is not None and self.memory_limit is not None and held > self.memory_limit:
            self._kill()
            limit = f"{self.memory_limit / 2**20:,.0f} MiB"
            raise HostOutgrew(f"it held {held / 2**20:,.0f} MiB of memory, more than the limit of {limit}")

    def _has_ended(self) -> bool:
        # Without reaping: what the process started is killed by its group's id first.
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # another thread has reaped it since
            return True

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


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _resident(process: int) -> int | None:
    """Return the bytes that a process holds in memory, ``None`` where the system does not tell."""
    try:
        pages = Path(f"/proc/{process}/statm").read_bytes().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
