"""The client's end: processes that answer, die, hang, babble, or do not start."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conformance.errors import HostError
from conformance.host.client import Host, HostDied, HostTimedOut
from conformance.host.frames import Frame

ECHO = """
import sys
while start := sys.stdin.buffer.read(8):
    header = sys.stdin.buffer.read(int.from_bytes(start, "little"))
    import json
    ends = [entry["data_offsets"][1] for name, entry in json.loads(header).items() if name != "__metadata__"]
    sys.stdout.buffer.write(start + header + sys.stdin.buffer.read(max(ends, default=0)))
    sys.stdout.buffer.flush()
"""
HELLO = Frame(b'"hello"')


def host(script: str, time_limit: float = 20.0, memory_limit: int | None = None) -> Host:
    return Host([sys.executable, "-c", script], os.environ, time_limit, memory_limit)


@pytest.mark.parametrize("size", [0, 1, 1_000_003], ids=["empty", "one", "larger than a pipe"])
def test_echo(size: int) -> None:
    """A request and its answer arrive whole, whatever their size, again and again."""
    sent = Frame(b'{"n": 1}', {"a": np.arange(size, dtype=np.float64)})
    with host(ECHO) as echo:
        for _ in range(3):
            got = echo.request(sent)
            assert sent.message == got.message
            np.testing.assert_array_equal(sent.arrays["a"], got.arrays["a"], strict=True)


DEATHS = [
    ("import sys; sys.exit(5)", "ended with exit status 5"),
    ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    ("import os; os.abort()", "was killed by SIGABRT"),
    ("raise ValueError('the last word')", "ValueError: the last word"),
    ("import os, time; os.close(1); time.sleep(60)", "closed its pipe"),
    ("import os, time; os.close(0); os.close(1); time.sleep(60)", "closed its pipe"),
]


@pytest.mark.parametrize(("script", "message"), DEATHS, ids=[entry[1] for entry in DEATHS[:-1]] + ["closed both"])
def test_death(script: str, message: str) -> None:
    """A host that ends says how it ended, with its last lines on standard error."""
    with host(script) as dying, pytest.raises(HostDied, match=message):
        dying.request(HELLO)


def test_only_the_last_words_are_kept() -> None:
    """A host may write any amount to standard error: it does not block, and the last 20 lines are kept."""
    script = "import sys\nfor k in range(50_000): print('line', k, file=sys.stderr)\nsys.exit(1)"
    with host(script) as talkative, pytest.raises(HostDied) as death:
        talkative.request(HELLO)
    assert [f"    line {k}" for k in range(49_980, 50_000)] == str(death.value).splitlines()[1:]


SLOW = ["import time; time.sleep(60)", "import sys, time; sys.stdout.write('half'); sys.stdout.flush(); time.sleep(60)"]


@pytest.mark.parametrize("script", SLOW, ids=["silent", "half an answer"])
@pytest.mark.parametrize("size", [0, 1_000_000], ids=["small", "more than it reads"])
def test_time_out(script: str, size: int) -> None:
    """A host that does not answer in time, or does not even read, is killed soon after."""
    start = time.monotonic()
    with host(script) as slow, pytest.raises(HostTimedOut, match=r"within the time limit of 0\.2 s"):
        slow.request(Frame(b"{}", {"a": np.zeros(size)}), time_limit=0.2)
    assert time.monotonic() - start < 10


def test_garbage() -> None:
    """What is no message closes the host, and a further request says so."""
    with host("print('Welcome to my host!', flush=True); import time; time.sleep(60)") as babbling:
        with pytest.raises(HostError, match="not a message"):
            babbling.request(HELLO)
        assert not babbling.is_alive
        with pytest.raises(HostError, match="has been closed"):
            babbling.request(HELLO)


def test_closing_reaps() -> None:
    """A closed host leaves no process, a zombie neither; closing again does nothing."""
    one = host(ECHO)
    one.request(HELLO)
    process = one._process.pid
    one.close()
    one.close()
    assert not Path(f"/proc/{process}").exists()
    assert not one.is_alive


def test_ending_in_peace() -> None:
    """A host that ends at the end of its input is given the time to."""
    one = host(ECHO)
    one.request(HELLO)
    one.send_and_close(HELLO)
    assert one._process.returncode == 0


def test_no_such_program() -> None:
    """A program that is not there is named."""
    with pytest.raises(HostError, match=r"cannot be started: .*no-such-julia"):
        Host(["no-such-julia", "host.jl"], {}, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of another process")
def test_memory_limit() -> None:
    """A host that asks for more than its memory limit fails, and this process does not."""
    script = ECHO.replace("import json", "big = bytearray(2**31)", 1)
    with host(script, memory_limit=2**30) as greedy, pytest.raises(HostDied, match="MemoryError"):
        greedy.request(HELLO)
