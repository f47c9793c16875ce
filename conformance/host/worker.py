"""The host process: ``python -m conformance.host.worker ADAPTER`` answers requests on its pipes.

Standard input and output are taken over before the adapter is imported: whatever it or its
framework prints, from C too, goes to standard error and cannot be mistaken for an answer.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
from pathlib import Path

from conformance.adapters.registry import find, load
from conformance.errors import HostError
from conformance.host.frames import Frame, encode, read_frame
from conformance.host.service import Service, failed

__all__ = ["main", "serve"]


def main() -> None:
    """Serve the adapter named on the command line until the pipe closes, then end at once."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m conformance.host.worker ADAPTER")
    name = sys.argv[1]
    _die_with_the_client()
    incoming, outgoing = _private_pipes()
    _look_last_in_current_directory()
    serve(Service(lambda: load(find(name))), incoming, outgoing)
    sys.stdout.flush()
    sys.stderr.flush()
    # A framework's own teardown takes long, or hangs, and nothing is left to lose.
    os._exit(0)


def serve(service: Service, incoming: io.BufferedReader, outgoing: int) -> None:
    """Answer every request until ``exit``, the end of the pipe, or what is no message."""
    while incoming.peek(1):
        try:
            frame = read_frame(lambda count: _read(incoming, count))
        except HostError as error:  # where the next message starts is unknown from here on
            _send(failed("protocol", error), outgoing)
            return
        answer = service.answer(frame)
        if answer is None:
            return
        _send(answer, outgoing)


def _die_with_the_client() -> None:
    """Ask Linux to kill this process when the one that started it is gone: a loop without end reads no pipe."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def _private_pipes() -> tuple[io.BufferedReader, int]:
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    return io.BufferedReader(io.FileIO(incoming, "rb"), buffer_size=2**16), outgoing


def _look_last_in_current_directory() -> None:
    """Move the current directory to the end of the path: a ``torch.py`` in it must not shadow torch."""
    here = str(Path.cwd())
    sys.path[:] = [entry for entry in sys.path if entry not in ("", here)] + [here]


def _read(incoming: io.BufferedReader, count: int) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    got = 0
    while got < count:
        more = incoming.readinto(view[got:])
        if not more:
            raise HostError(f"the pipe closed within a message, {got} of {count} bytes into a part of it")
        got += more
    return buffer


def _send(answer: Frame, outgoing: int) -> None:
    try:
        image = encode(answer)
    except HostError as error:
        image = encode(failed("answer", error))
    view = memoryview(image)
    while view:
        view = view[os.write(outgoing, view) :]


if __name__ == "__main__":
    main()
