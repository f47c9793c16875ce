"""``conformance summary``: the verdicts of each implementation, in numbers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conformance.results.read import read_results
from conformance.results.summary import render
from conformance.results.tables import FORMATS

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Count the verdicts of each implementation in a results file."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a results.jsonl, or the folder that holds it")
    parser.add_argument("--format", choices=FORMATS, default="pretty", help="how to print (default: %(default)s)")


def execute(arguments: argparse.Namespace) -> int:
    """Print the summary."""
    sys.stdout.write(render(read_results(arguments.results), arguments.format))
    return 0
