"""``conformance export``: the corpus as a bundle, to be answered on a machine without the suite."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conformance.bundle.requests import export_bundle
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Write cases as a bundle, to be answered on a machine without the suite."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="where the bundle goes: a new or an empty folder")
    add("--case", action="append", default=[], metavar="PATTERN", help="only cases of this pattern; repeatable")
    add("--tag", action="append", default=[], metavar="TAG", help="cases with this tag too; repeatable")
    add("--cases", type=Path, metavar="FOLDER", help="where the case files are (default: the suite's own)")


def execute(arguments: argparse.Namespace) -> int:
    """Write the bundle and say what to do with it."""
    cases = select(load_corpus(arguments.cases, arguments.tag), arguments.case)
    size = export_bundle(arguments.folder, cases, arguments.case, arguments.tag)
    sys.stdout.write(
        f"{arguments.folder}: {len(cases)} cases, {size / 1e6:.1f} MB\n"
        "answer it elsewhere (README.txt in it says how), bring it back, then: "
        f"conformance import {arguments.folder} --output RUN\n"
    )
    return 0
