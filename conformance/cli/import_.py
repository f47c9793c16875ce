"""``conformance import``: judge the answers of a bundle and write them as results, marked as recorded."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from conformance.bundle.judged import Bundle
from conformance.bundle.layout import BundleError, Manifest, read_manifest
from conformance.corpus.case import Case
from conformance.corpus.load import load_corpus, load_definitions
from conformance.engine.machine import run_row
from conformance.engine.publish import publish
from conformance.engine.recorder import Recorder
from conformance.engine.records import records_for, stale
from conformance.results.read import read_results
from conformance.results.rows import FAILING, RunRow
from conformance.results.summary import render
from conformance.verdict.deviations import Deviation

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Judge the answers of a bundle; write results.jsonl and index.html."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the bundle, with answers")
    add("--output", type=Path, default=Path("reports/recorded"), metavar="RUN",
        help="where results.jsonl and index.html go (default: reports/recorded)")
    add("--cases", type=Path, metavar="FOLDER", help="the case files that were exported (default: the suite's own)")
    add("--deviations", action="append", type=Path, default=[], metavar="FILE",
        help="a further file of recorded deviations; repeatable")  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Judge, print the summary and the report's path; return 0, 1, 2 or 3."""
    manifest = read_manifest(arguments.folder)
    bundle, unknown = _asked(arguments, manifest)
    known_tags = [tag for tag in manifest.tags if any(tag in case.tags for case in bundle.cases)]
    corpus = load_corpus(arguments.cases, known_tags)
    deviations = records_for(corpus, arguments.deviations, own_corpus=arguments.cases is None)
    recorder = Recorder(arguments.output, _run_row(bundle.cases, corpus, manifest, deviations))
    troubles = list(unknown)
    try:
        troubles += bundle.judge(deviations, recorder.add)
    except BaseException:
        recorder.close()
        raise
    recorder.finish(complete=not troubles)
    for trouble in troubles:
        sys.stderr.write(f"conformance import: {trouble}\n")
    return _told(recorder, bundle.cases, deviations, corpus, complete=not troubles)


def _asked(arguments: argparse.Namespace, manifest: Manifest) -> tuple[Bundle, list[str]]:
    """Return the bundle with the cases that this suite knows, and a message for each other."""
    known = {case.id: case for definition in load_definitions(arguments.cases) for case in definition.cases}
    numbers = {case: number for number, case in enumerate(manifest.cases, start=1)}
    cases = [known[case] for case in manifest.cases if case in known]
    if not cases:
        raise BundleError(
            f"{arguments.folder}: found none of its cases in the corpus, expected the one that it was exported from",
            hint="name it with --cases FOLDER",
        )
    strange = [case for case in numbers if case not in known]
    unknown = [f"{case[:200]!r}: no case of this corpus; its answers are left out" for case in strange]
    return Bundle(arguments.folder, cases, numbers), unknown


def _run_row(
    cases: Sequence[Case], corpus: Sequence[Case], manifest: Manifest, deviations: Sequence[Deviation]
) -> RunRow:
    selection = " ".join((*manifest.patterns, *(f"--tag {tag}" for tag in manifest.tags)))
    row = run_row(cases, corpus=corpus, not_installed={}, selection=selection, deviations=deviations)
    judged_on = f"{platform.system()}, Python {platform.python_version()}; recorded elsewhere"
    return msgspec.structs.replace(row, machine={"judged on": judged_on})


def _told(
    recorder: Recorder, cases: Sequence[Case], deviations: Sequence[Deviation], corpus: Sequence[Case],
    *, complete: bool,
) -> int:  # fmt: skip
    page = publish(recorder.path, cases)
    results = read_results(recorder.path)
    idle = stale(deviations, corpus, results) if complete else []
    for message in idle:
        sys.stderr.write(f"conformance import: changed: {message}\n")
    sys.stdout.write(f"{render(results)}\nresults: {recorder.path}\nreport:  {page}\n")
    verdicts = {verdict for counts in recorder.counts.values() for verdict in counts}
    if "void" in verdicts:
        return 3
    if not complete:
        return BundleError.exit_code
    return 1 if idle or verdicts & FAILING else 0
