"""A real scheduler on loopback, with as many workers as a test starts, each a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


class Cluster:
    """The processes of a scheduler and its workers; their logs are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        try:
            self.address = self._said("scheduler", r"Scheduler at:\s+(tcp://\S+)")
        except BaseException:
            self.close()
            raise

    def worker(self, *options: str, paths: tuple[Path, ...] = (TESTS / "fakes",)) -> subprocess.Popen[bytes]:
        """Start one that finds adapters in ``paths``, and wait until the scheduler has it."""
        name = f"worker-{len(self.workers)}"
        alone = ("--nthreads", "1", "--no-nanny", "--name", name)
        process = self._start("worker", self.address, *alone, *options, log=name, paths=paths)
        self.workers.append(process)
        self._said(name, r"(Registered to)")
        return process

    def close(self) -> None:
        """Kill them all."""
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()

    def _start(
        self, *arguments: str, log: str = "scheduler", paths: tuple[Path, ...] = ()
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", arguments[0], *arguments[1:], "--no-dashboard"]
        found = os.pathsep.join(map(str, (*paths, TESTS.parent)))
        environment = os.environ | {"PYTHONPATH": found}
        with (self.folder / f"{log}.log").open("wb") as file:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=file, stderr=file)

    def _said(self, log: str, pattern: str) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = re.search(pattern, (self.folder / f"{log}.log").read_text(encoding="utf-8", errors="replace"))
            if found is not None:
                return found[1]
            time.sleep(0.1)
        raise AssertionError((self.folder / f"{log}.log").read_text(encoding="utf-8", errors="replace"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return a scheduler without workers."""
    pytest.importorskip("distributed", reason="needs Dask's distributed")
    folder = tmp_path / "cluster"
    folder.mkdir()
    started = Cluster(folder)
    yield started
    started.close()
