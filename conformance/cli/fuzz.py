"""``conformance fuzz``: draw cases that nobody thought of, and shrink the first that fails to a minimal one."""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.corpus.inputs import generate
from conformance.engine.adapters import adapters_to_run
from conformance.engine.limits import check_memory_limit, check_time_limit, default_memory_limit
from conformance.errors import ConformanceError, ResultsError, UsageError
from conformance.fuzz.text import case_file, entry
from conformance.host.session import HostSession
from conformance.pages import page
from conformance.repro.writers import writer_for
from conformance.verdict.deviations import load_deviations

if TYPE_CHECKING:
    from conformance.fuzz.search import Fuzzed, Witness

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Draw random cases within the definition, and shrink the first that fails."
_NAME = "found-by-fuzzing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("implementation", metavar="IMPLEMENTATION", help="an adapter's name, or module:Class")
    add("--examples", type=int, default=2000, metavar="N", help="cases to draw (default: 2000)")
    add("--seconds", type=float, default=math.inf, metavar="S", help="stop after so long (default: no limit)")
    add("--seed", type=int, default=0, metavar="K", help="the same one draws the same cases (default: 0)")
    add("--deviations", action="append", type=Path, default=[], metavar="FILE",
        help="a further file of recorded deviations, which are passed over; repeatable")
    add("--time-limit", type=float, default=60.0, metavar="SECONDS", help="for one case (default: 60)")
    add("--memory-limit", type=float, default=default_memory_limit(), metavar="GIB",
        help="that the implementation may hold in memory (default: what the machine has)")
    add("--cluster", metavar="ADDRESS",
        help=f"have the workers of a Dask scheduler, such as tcp://192.168.0.1:8786, search; see {page('scale.md')}")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where it computes (default: cpu)")
    add("--in-process", action="store_true", help="without a host process: quicker, and a crash ends the search")
    add("--output", type=Path, metavar="FOLDER", help="write the case that fails to found.yaml there")
    add("--quiet", action="store_true", help="no progress")  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Search, print what was found; return 0 if nothing, 1 if a case fails, 3 if the suite is at fault."""
    _check(arguments)
    from conformance.fuzz.search import Hosted, search  # noqa: PLC0415 Hypothesis is an extra

    name = adapters_to_run([arguments.implementation])[-1]
    if arguments.cluster is not None:
        return _concluded(arguments, name, *_on_cluster(arguments, name))
    session = HostSession(
        name, time_limit=arguments.time_limit, device=arguments.device, in_process=arguments.in_process,
        memory_limit=int(arguments.memory_limit * 2**30),
    )  # fmt: skip
    with closing(session):
        found = search(
            Hosted(session), examples=arguments.examples, seconds=arguments.seconds, start=arguments.seed,
            deviations=load_deviations(arguments.deviations), progress=(lambda _: None) if arguments.quiet else _say,
        )  # fmt: skip
        identifier = session.implementation.id
    return _concluded(arguments, name, identifier, found)


def _on_cluster(arguments: argparse.Namespace, name: str) -> tuple[str, Fuzzed]:
    from conformance.cluster.fuzz import fuzz_on_cluster  # noqa: PLC0415  nobody else waits for its imports
    from conformance.cluster.seat import Wanted  # noqa: PLC0415

    wanted = Wanted(
        adapter=name, time_limit=arguments.time_limit, memory_limit=int(arguments.memory_limit * 2**30),
        device=arguments.device, deviations=load_deviations(arguments.deviations),
    )  # fmt: skip
    return fuzz_on_cluster(
        arguments.cluster, wanted, examples=arguments.examples, seconds=arguments.seconds, seed=arguments.seed,
        progress=(lambda _: None) if arguments.quiet else _say,
    )  # fmt: skip


def _concluded(arguments: argparse.Namespace, name: str, identifier: str, found: Fuzzed) -> int:
    sys.stdout.write(_summary(found, identifier))
    if found.witness is None:
        return 0
    made: dict[str, Any] = entry(found.witness.case, _NAME, found.witness.case.fact, found.witness.clauses)
    text = case_file([made], "Found by fuzzing")
    # Before it is written: where the folder can no longer be, what was found is on the terminal.
    sys.stdout.write(_told(found.witness, text, name, arguments.output))
    if arguments.output is not None:
        _write(arguments.output, text)
    return 3 if found.witness.verdict == "void" else 1


def _check(arguments: argparse.Namespace) -> None:
    if arguments.output is not None:
        _check_folder(arguments.output)
    if arguments.examples < 1:
        raise UsageError(f"--examples is {arguments.examples}, expected at least 1")
    if not arguments.seconds > 0:
        raise UsageError(f"--seconds is {arguments.seconds:g}, expected a number above 0")
    check_time_limit(arguments.time_limit)
    check_memory_limit(arguments.memory_limit)
    if arguments.cluster is not None and arguments.in_process:
        raise UsageError("--in-process asks in this process and --cluster in others: give one of the two")
    if importlib.util.find_spec("hypothesis") is None:
        raise UsageError("fuzz draws its cases with Hypothesis, which is not installed",
                         hint="pip install 'batchnorm-conformance[fuzz]'")  # fmt: skip


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written before the search, which may take hours."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"--output {folder}: {there} is no folder that can be written to", hint="name another one")


def _say(found: Fuzzed) -> None:
    sys.stderr.write(f"{found.examples} cases judged\n")


def _summary(found: Fuzzed, identifier: str) -> str:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found.verdicts.most_common())
    if found.witness is not None:
        counts += ", those of the shrinking among them"
    known = f"; {found.known.total()} as recorded" if found.known else ""
    return f"{identifier}: {found.examples} cases drawn in {found.seconds:.0f} s ({counts}){known}\n"


def _told(witness: Witness, text: str, adapter: str, folder: Path | None) -> str:
    written = folder or Path("found")
    asked = shlex.join(["conformance", "run", f"--adapter={adapter}", f"--cases={written}"])
    told = f"\n{witness.verdict}: {witness.explanation}\n\n{text}\n"
    repro = shlex.join(["conformance", "repro", f"found/{_NAME}", adapter, f"--cases={written}"])
    alone = f"as a script: {repro}\n" if _repeats(adapter, witness) else ""
    if folder is None:
        return f"{told}again: with this in {written}/found.yaml (--output {written} writes it), {asked}\n{alone}"
    return f"{told}again: {asked}\n{alone}"


def _write(folder: Path, text: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "found.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{folder}: cannot write found.yaml: {error.strerror or error}") from error


def _repeats(adapter: str, witness: Witness) -> bool:
    """Tell whether ``conformance repro`` can write a script of the case for the implementation."""
    held = frozenset(name for name in generate(witness.case) if ":" not in name)
    try:
        writer_for(adapter, witness.case, held)
    except ConformanceError:
        return False
    return True
