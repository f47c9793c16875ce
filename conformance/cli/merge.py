"""``conformance merge``: several results files in one, with its report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conformance.report.page import REPORT_NAME, write_report
from conformance.results.merge import merge
from conformance.results.read import read_results
from conformance.results.writer import write_results

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Merge results of different runs, machines or versions into one file and report."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS", help="a results.jsonl, or the folder that holds it"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="where results.jsonl and index.html go"
    )
    parser.add_argument(
        "--apart", action="store_true",
        help="keep columns of one id that give a case different verdicts side by side, instead of refusing them",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Merge the files and write the report of the whole."""
    paths = arguments.results
    merged = merge([read_results(path) for path in paths], [str(path) for path in paths], apart=arguments.apart)
    written = write_results(merged, arguments.output)
    page = arguments.output / REPORT_NAME
    write_report(merged, page)
    sys.stdout.write(f"{written}\n{page}\n")
    return 0
