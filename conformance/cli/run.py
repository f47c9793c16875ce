"""``conformance run``: put the corpus to implementations and write results and report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from conformance.adapters.registry import refuse_absent
from conformance.cli.resuming import HERE, asked, restored
from conformance.corpus.case import Case
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.durations import kept as keep_durations
from conformance.durations import spent, told_cell
from conformance.engine.adapters import adapters_to_run, configured_hosts, not_installed
from conformance.engine.cell import Cell
from conformance.engine.compiled import part_asked
from conformance.engine.limits import check_memory_limit, check_time_limit, default_memory_limit
from conformance.engine.local import run_cells
from conformance.engine.machine import run_row
from conformance.engine.progress import Progress
from conformance.engine.publish import publish
from conformance.engine.recorder import Recorder
from conformance.engine.records import records_for, stale
from conformance.engine.resume import NOTHING, Finished, check_same
from conformance.errors import AdapterError, UnstartedError, UsageError
from conformance.host.configuration import ConfiguredHost
from conformance.host.session import HostSession
from conformance.modelled.model import modelled_cells
from conformance.modelled.systems import MODELS
from conformance.pages import page
from conformance.results.read import RESULTS_NAME, Survey, read_results
from conformance.results.rows import FAILING
from conformance.results.summary import render
from conformance.verdict.deviations import Deviation

if TYPE_CHECKING:
    from conformance.cluster.seat import Wanted

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Put cases to implementations; write results.jsonl and index.html."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--adapter", action="append", default=[], metavar="NAME",
        help="an adapter's name, or module:Class; repeatable (default: numpy, torch, keras-tensorflow, flax-linen)")
    add("--all", action="store_true", help="all adapters that are installed, every execution")
    add("--implementations", type=Path, metavar="FILE",
        help="hosts by command, such as other versions in environments of their own: all of them, or those that "
        "--adapter names (default: those of pyproject.toml)")
    add("--case", action="append", default=[], metavar="PATTERN",
        help="cases to run, e.g. running_stats/* or */epsilon[dtype=float32,*]; repeatable (default: all)")
    add("--tag", action="append", default=[], metavar="TAG",
        help="cases with this tag too, e.g. large; repeatable (default: cases without a tag)")
    add("--cases", type=Path, metavar="FOLDER", help="where the case files are (default: the suite's own)")
    add("--output", type=Path, default=Path("reports/latest"), metavar="FOLDER",
        help="where results.jsonl and index.html go (default: reports/latest)")
    add("--deviations", action="append", type=Path, default=[], metavar="FILE",
        help="a further file of recorded deviations; repeatable")
    add("--resume", nargs="?", type=Path, const=HERE, metavar="FOLDER",
        help=f"go on with the run in FOLDER (default: that of --output) where it was ended; see {page('results.md')}")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
        help="hosts driven at a time (default: the number of cores)")
    add("--time-limit", type=float, default=60.0, metavar="SECONDS",
        help="for one case on one implementation (default: 60); cases of more than 2.5e9 operations, "
        "such as the thread's network, have more in proportion")
    add("--memory-limit", type=float, default=default_memory_limit(), metavar="GIB",
        help="that an implementation may hold in memory (default: what the machine has)")
    add("--cluster", metavar="ADDRESS",
        help="have the workers of a Dask scheduler, such as tcp://192.168.0.1:8786, ask and judge; "
        f"see {page('scale.md')}")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where implementations compute (default: cpu)")
    add("--in-process", action="store_true", help="run adapters without a host process, for debuggers")
    add("--modelled", action="store_true",
        help="add columns, marked so, of systems that cannot be run here: matlab, flux, lux")
    add("--durations", nargs="?", type=int, const=10, metavar="N",
        help="tell where time went, and the N slowest cells (default: 10)")
    add("--quiet", action="store_true", help="no progress")  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Run, print the summary and the report's path; return 0, 1, 2 or 3."""
    arguments, kept = restored(arguments, configure)
    _check(arguments)
    with keep_durations(arguments.durations) as ledger:
        code = _execute(arguments, kept)
    if ledger is not None:
        sys.stdout.write(f"\n{ledger.table()}\n")
    return code


def _execute(arguments: argparse.Namespace, kept: Survey | None) -> int:
    with spent("reading cases"):
        corpus = load_corpus(arguments.cases, arguments.tag)
    hosts = configured_hosts(arguments.implementations, Path.cwd())
    alone = arguments.implementations is not None
    names = adapters_to_run(arguments.adapter, everything=arguments.all, hosts=hosts, alone=alone)
    patterns = part_asked(names, corpus, arguments.case)
    cases = select(corpus, patterns)
    if arguments.cluster is None:
        for name in names:
            if name not in hosts:
                refuse_absent(name)
    deviations = records_for(corpus, arguments.deviations, own_corpus=arguments.cases is None)
    absent = not_installed(arguments.adapter, everything=arguments.all, alone=alone)
    selection = " ".join((*patterns, *(f"--tag {tag}" for tag in arguments.tag)))
    with spent("reading cases"):
        run = run_row(cases, corpus=corpus, not_installed=absent, selection=selection, deviations=deviations)
    run = msgspec.structs.replace(run, asked=asked(arguments, configure))
    finished = NOTHING
    if kept is not None:
        check_same(kept.run, run, arguments.output / RESULTS_NAME)
        run, finished = kept.run, Finished.of(kept)
    recorder = Recorder(arguments.output, run, kept)
    try:
        whole = kept is not None and kept.complete
        failed = [] if whole else _run(arguments, cases, names, hosts, deviations, recorder, finished)
        if arguments.modelled and not whole:
            _model(cases, recorder, finished)
    except BaseException:
        recorder.close()
        raise
    for error in failed:
        sys.stderr.write(f"conformance run: {error}\n")
    # What only a configuration knows is a row that says why it is not there, and no failure of the run.
    lacking = [error for error in failed if isinstance(error, UnstartedError) and error.adapter in hosts]
    recorder.lacks({error.adapter: str(error.args[0]) for error in lacking})
    failed = [error for error in failed if error not in lacking]
    if whole:
        recorder.close()
    else:
        recorder.finish(complete=not failed)
    with spent("report"):
        page = publish(recorder.path, cases)
        results = read_results(recorder.path)
        idle = stale(deviations, corpus, results)
    for message in idle:
        sys.stderr.write(f"conformance run: changed: {message}\n")
    sys.stdout.write(f"{render(results)}\nresults: {recorder.path}\nreport:  {page}\n")
    return _exit_code(recorder, failed + [error for error in lacking if error.adapter in arguments.adapter], idle)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.durations is not None and arguments.durations < 1:
        raise UsageError(f"--durations is {arguments.durations}, expected at least 1")
    if arguments.workers < 1:
        raise UsageError(f"--workers is {arguments.workers}, expected at least 1")
    check_time_limit(arguments.time_limit)
    check_memory_limit(arguments.memory_limit)
    if arguments.cluster is not None and arguments.in_process:
        raise UsageError("--in-process asks in this process and --cluster in others: give one of the two")


def _run(
    arguments: argparse.Namespace, cases: tuple[Case, ...], names: list[str], hosts: Mapping[str, ConfiguredHost],
    deviations: tuple[Deviation, ...], recorder: Recorder, finished: Finished,
) -> list[AdapterError]:  # fmt: skip
    progress = None if arguments.quiet else Progress(len(cases) * len(names), done=len(finished.cells))

    def done(cell: Cell) -> None:
        with spent("writing"):
            recorder.add(cell)
        if arguments.cluster is not None:
            told_cell(cell.row.seconds, cell.row.seconds, 0.0, (cell.row.case, cell.row.implementation))
        if progress is not None:
            progress.step(cell.implementation.name, cell.row.verdict)

    try:
        if arguments.cluster is not None:
            from conformance.cluster.run import run_on_cluster  # noqa: PLC0415  nobody else waits for its imports

            wanted = [_wanted(arguments, name, hosts.get(name), deviations) for name in names]
            return run_on_cluster(arguments.cluster, cases, wanted, done=done, finished=finished)
        return run_cells(
            cases,
            [_starter(arguments, name, hosts.get(name)) for name in names],
            workers=arguments.workers,
            deviations=deviations,
            done=done,
            finished=finished,
        )
    finally:
        if progress is not None:
            progress.close()


def _starter(arguments: argparse.Namespace, name: str, host: ConfiguredHost | None) -> Callable[[], HostSession]:
    return partial(
        HostSession, name, time_limit=arguments.time_limit, device=arguments.device, in_process=arguments.in_process,
        memory_limit=int(arguments.memory_limit * 2**30), host=host,
    )  # fmt: skip


def _wanted(
    arguments: argparse.Namespace, name: str, host: ConfiguredHost | None, deviations: tuple[Deviation, ...]
) -> Wanted:
    from conformance.cluster.seat import Wanted  # noqa: PLC0415

    return Wanted(
        adapter=name, time_limit=arguments.time_limit, memory_limit=int(arguments.memory_limit * 2**30),
        device=arguments.device, host=host, deviations=deviations,
    )  # fmt: skip


def _model(cases: Sequence[Case], recorder: Recorder, finished: Finished) -> None:
    """Add what is modelled; a system that answered for itself in this run is not."""
    answered = {column.name for column in recorder.columns if column.provenance != "modelled"}
    for model in MODELS.values():
        if model.name not in answered:
            there = finished.by(model.implementation)
            for cell in modelled_cells([case for case in cases if case.id not in there], [model]):
                recorder.add(cell)


def _exit_code(recorder: Recorder, failed: list[AdapterError], idle: list[str]) -> int:
    verdicts = {verdict for counts in recorder.counts.values() for verdict in counts}
    if "void" in verdicts:
        return 3
    if failed:
        return AdapterError.exit_code
    return 1 if idle or verdicts & FAILING else 0
