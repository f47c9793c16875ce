"""The client's end: processes that answer, die, hang, babble, or do not start."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conformance.errors import HostError
from conformance.host.client import Host, HostDied, HostOutgrew, HostTimedOut, HostUnfit
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
ROOT = Path(__file__).parents[2]


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of another process")
def test_memory_limit() -> None:
    """A host that takes more memory than its limit is killed while it takes it, and told of."""
    script = ECHO.replace("import json", "import json\n    big = [bytearray(b'x') * 2**20 for _ in range(2**15)]", 1)
    with host(script, memory_limit=2**28) as greedy, pytest.raises(HostOutgrew, match="more than the limit of 256 MiB"):
        greedy.request(HELLO)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of another process")
def test_reserved_memory_is_not_counted() -> None:
    """Address space that a host reserves without using it does not count against its limit."""
    flags = "mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000"  # the last is MAP_NORESERVE
    script = ECHO.replace("import json", f"import json, mmap\n    big = mmap.mmap(-1, 2**34, flags={flags})", 1)
    with host(script, memory_limit=2**28) as modest:
        assert HELLO.message == modest.request(HELLO).message


def test_an_answer_too_many_at_once_is_refused() -> None:
    """What comes behind an answer in one piece with it is told to be too much."""
    script = ECHO.replace("default=0)))", "default=0)) + b'more')")
    with host(script) as eager, pytest.raises(HostError, match="more came than was asked for: b'more'"):
        eager.request(HELLO)


def test_an_answer_too_many_later_is_not_taken_for_the_next() -> None:
    """What comes behind an answer after a while is not read as the answer to the next request."""
    more = "flush(); import time; time.sleep(0.2); sys.stdout.buffer.write(b'more'); sys.stdout.buffer.flush()"
    with host(ECHO.replace("flush()", more)) as late:
        late.request(HELLO)
        assert select.select([late._from], [], [], 20)[0]
        with pytest.raises(HostUnfit, match="said what nobody asked: b'more'"):
            late.request(HELLO)
        assert not late.is_alive


def test_a_host_that_ended_between_requests_was_unfit() -> None:
    """A host that is killed while it is asked nothing is not said to have died of the next request."""
    with host(ECHO) as killed:
        killed.request(HELLO)
        os.kill(killed._process.pid, signal.SIGKILL)
        until(killed._has_ended)
        with pytest.raises(HostUnfit, match="was killed by SIGKILL"):
            killed.request(HELLO)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_host_does_not_outlive_its_client(tmp_path: Path) -> None:
    """A host in a loop without end is gone when the process that asked it is killed."""
    endless = "import os\nprint(os.getpid(), flush=True, file=open('pid', 'w'))\nwhile True: pass"
    (tmp_path / "endless.py").write_text(endless, encoding="utf-8")
    ask = "from conformance.host.session import HostSession; HostSession('endless:A').implementation"
    client = [sys.executable, "-c", ask]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    with subprocess.Popen(client, cwd=tmp_path, env=environment) as process:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text("ascii").strip() != "")
        pid = int((tmp_path / "pid").read_text("ascii"))
        assert Path(f"/proc/{pid}").exists()
        process.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
