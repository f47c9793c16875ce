"""Kills at random moments: whatever is killed, what was known is kept, and resuming completes it to the same."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from conformance.adapters.contract import Adapter, Implementation, Layer, LayerConfig, State
from conformance.definition.dialect import Dialect
from conformance.engine.resume import left_in
from conformance.results.read import RESULTS_NAME, Results, read_results
from conformance.trial.honest import HonestAdapter
from conformance.trial.mutants import Mutant

__all__ = ["Killed", "content", "trial"]

_CASES = """\
title: Cases to be killed at
cases:
  - name: train
    fact: A training forward normalises its batch and moves the state.
    clauses: ["1.1", "3.1"]
    steps: [{train: a, gradients: [x, gamma]}, {evaluate: b}]
    vary:
      shape: [5x3, 4x3x7]
      dtype: [float32, float64, float16]
      momentum: [0.1, 0.5, 0.9]
"""
#: One that fails is asked too: it has a second host, which can be killed as well.
_ADAPTERS = ("conformance.trial.honest:HonestAdapter", "conformance.trial.kills:Wrong")


class Wrong(Adapter):
    """An implementation of which one cell differs: to explain what does is most of the work of a run."""

    def __init__(self) -> None:
        self.honest = HonestAdapter()

    def describe(self) -> Implementation:
        """Name it."""
        return Implementation(name="wrong", versions={"wrong": "1"})

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare what the honest declare."""
        return self.honest.dialect_for(layer)

    def create(self, layer: LayerConfig, state: State) -> Layer:
        """Build a layer; one of them swaps its momentum."""
        wrong = layer.rank == 2 and layer.dtype == "float64" and layer.momentum == 0.9
        return (Mutant("momentum swapped") if wrong else self.honest).create(layer, state)


class KillsError(AssertionError):
    """A kill has cost something."""


@dataclass(frozen=True)
class Killed:
    """One kill: what was killed, after how many seconds, and how many cells were in the file then."""

    what: str
    after: float
    cells: int


def trial(kills: int, seed: int, *, clusters: bool = False) -> Iterator[Killed]:
    """Kill controllers, hosts and workers so many times, at random moments, and check what is left after each.

    A run goes on, resumed where its controller was killed, until it is complete; then it is compared with one
    that nobody disturbed, and the next begins. With ``clusters`` every other run is one on a cluster, whose workers
    are killed too.

    Raises:
        KillsError: a file could not be read, lost or repeated a cell, or ended with another content.
    """
    draw = random.Random(seed)  # noqa: S311  (no secret)
    with tempfile.TemporaryDirectory(prefix="kills-") as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        (folder / "cases").mkdir()
        (folder / "cases" / "made.yaml").write_text(_CASES, encoding="utf-8")
        start = time.monotonic()
        _finish(_begin(folder, "undisturbed"))
        length = time.monotonic() - start
        undisturbed = content(read_results(folder / "undisturbed"))
        crew = ends.enter_context(Crew(folder)) if clusters else None
        count = done = 0
        while done < kills:
            count += 1
            for killed in _one_run(folder, f"run-{count}", draw, length, crew if count % 2 else None):
                done += 1
                yield killed
            if content(read_results(folder / f"run-{count}")) != undisturbed:
                raise KillsError(f"run {count} of seed {seed} ended with another content than an undisturbed one")


def content(results: Results) -> dict[str, Any]:
    """Return what a run found, without times and the order in which it was found."""
    run: dict[str, Any] = msgspec.to_builtins(results.run)
    run.pop("started")
    run["implementations"] = sorted(run["implementations"], key=lambda row: str(row["id"]))
    cells = {
        (cell.case, cell.implementation): msgspec.to_builtins(msgspec.structs.replace(cell, seconds=0.0))
        for cell in results.cells
    }
    return {"run": run, "cells": cells, "complete": results.complete}


def _one_run(folder: Path, name: str, draw: random.Random, length: float, crew: Crew | None) -> Iterator[Killed]:
    """Kill a run until it is complete: at moments up to ``length`` seconds after its start, or amid random cells."""
    known: set[bytes] = set()
    process = _begin(folder, name, crew)
    # Half of the runs are left in peace in the end, so that each is complete some time.
    for _ in range(draw.randint(3, 8)):
        start = time.monotonic()
        by_time = draw.random() < 0.5
        moment = start + (draw.uniform(0, length) if by_time else math.inf)
        cells = math.inf if by_time else len(known) + draw.randint(0, 20)
        while process.poll() is None and time.monotonic() < moment and _rows(folder / name) <= cells:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        what, victim = _victim(process.pid, draw, crew)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        after = time.monotonic() - start
        if what == "controller":
            process.communicate()
            known = _checked(folder / name, known)
            process = _begin(folder, name, crew)
        elif what == "worker" and crew is not None:
            crew.replace(victim)
        yield Killed(what, after, len(known))
    _finish(process)
    _checked(folder / name, known)


def _victim(controller: int, draw: random.Random, crew: Crew | None) -> tuple[str, int]:
    """Return what is to be killed, and its process: the controller where there is nothing else yet."""
    what = draw.choice(["controller", "controller", "host"] if crew is None else ["controller", "host", "worker"])
    parents = [controller] if crew is None else crew.workers
    found = {"host": [host for one in parents for host in _children(one)], "worker": parents}.get(what)
    return (what, draw.choice(found)) if found else ("controller", controller)


class Crew:
    """A Dask scheduler on loopback with two workers; one that is killed is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Crew:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        self._dask("scheduler", "--host=127.0.0.1", "--port=0", f"--scheduler-file={self.folder / 'crew.json'}")
        self.address = self._scheduler()
        self.workers = [self._worker() for _ in range(2)]
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def replace(self, worker: int) -> None:
        """Start another in the place of one that was killed."""
        self._processes.pop(worker).wait()
        self.workers[self.workers.index(worker)] = self._worker()

    def _scheduler(self) -> str:
        """Wait for the scheduler to have written its address, all of it."""
        while True:
            try:
                address: str = msgspec.json.decode((self.folder / "crew.json").read_bytes())["address"]
            except (FileNotFoundError, msgspec.DecodeError):
                time.sleep(0.05)
            else:
                return address

    def _worker(self) -> int:
        return self._dask("worker", self.address, "--nthreads=1", "--no-nanny")

    def _dask(self, *arguments: str) -> int:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard"], cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._processes[process.pid] = process
        return process.pid


def _rows(folder: Path) -> int:
    """Return how many cells were written to a results file, the last of them perhaps in part."""
    try:
        return (folder / RESULTS_NAME).read_bytes().count(b'{"kind":"cell"')
    except FileNotFoundError:
        return 0


def _begin(folder: Path, name: str, crew: Crew | None = None) -> subprocess.Popen[bytes]:
    adapters = [f"--adapter={adapter}" for adapter in _ADAPTERS]
    command = [
        sys.executable, "-m", "conformance", "run", *adapters, f"--cases={folder / 'cases'}", "--quiet",
        "--workers=2" if crew is None else f"--cluster={crew.address}", f"--output={folder / name}", "--resume",
    ]  # fmt: skip
    told = os.environ | {"PYTHONFAULTHANDLER": "1"}  # where the controller itself crashes, it is to say so
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=told)  # noqa: S603


def _finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=900)  # on a machine that does much else
    if process.returncode != 1:  # the implementation that is wrong differs
        raise KillsError(f"the run ended with {process.returncode}: {said.decode(errors='replace')}")


def _checked(folder: Path, known: set[bytes]) -> set[bytes]:
    """Return the cells in the file, byte for byte; all that were known before are still among them, once."""
    file = folder / RESULTS_NAME
    if not file.exists():
        if known:
            raise KillsError(f"{file} is gone")
        return known
    read_results(file)
    left = left_in(folder)
    assert left is not None
    lines = file.read_bytes()[: left.length].splitlines()
    cells = [line for line in lines if line.startswith(b'{"kind":"cell"')]
    if len(cells) != len(left.verdicts) or not known <= set(cells):
        raise KillsError(f"{file} has {len(cells)} cells, and not all of the {len(known)} that were known")
    return set(cells)


def _children(process: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(text) for text in tasks.read_text(encoding="ascii").split()]
    return found
