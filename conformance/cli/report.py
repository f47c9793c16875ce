"""``conformance report``: the HTML report of a results file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conformance.report.page import REPORT_NAME, write_report
from conformance.results.read import read_results

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Write the report of a results file: one HTML file that needs no network."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a results.jsonl, or the folder that holds it")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where index.html goes (default: beside the results)"
    )
    parser.add_argument(
        "--against", type=Path, metavar="OLD", help="results of an earlier run: a page says what changed since"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Write the report and print its path."""
    results = read_results(arguments.results)
    beside = arguments.results if arguments.results.is_dir() else arguments.results.parent
    page = (arguments.output or beside) / REPORT_NAME
    write_report(results, page, against=read_results(arguments.against) if arguments.against else None)
    sys.stdout.write(f"{page}\n")
    return 0
