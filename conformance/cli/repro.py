"""``conformance repro``: a standalone script that repeats one cell."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from conformance.adapters.scripts.writer import CannotWrite
from conformance.cli.asking import answered, case_named, started
from conformance.engine.cell import question_of
from conformance.errors import ConformanceError, UsageError
from conformance.repro.script import script
from conformance.repro.writers import writer_for

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Write a script that repeats one cell with the framework and NumPy only, for a report upstream."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("case", metavar="CASE", help="the id of a case")
    parser.add_argument("implementation", metavar="IMPLEMENTATION", help="an adapter's name, such as torch")
    parser.add_argument("--cases", type=Path, metavar="FOLDER", help="where the case files are (default: the own ones)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the script goes (default: standard output)")


def execute(arguments: argparse.Namespace) -> int:
    """Ask the implementation, and print the script that asks it the same.

    Raises:
        UsageError: there is no such case, or it cannot be written out for this implementation.
    """
    case = case_named(arguments.case, arguments.cases)
    question = question_of(case)
    held = frozenset(name for name in question.arrays if ":" not in name)
    writer = writer_for(arguments.implementation, case, held)
    with closing(started(arguments.implementation)) as session:
        seen = answered(case, session)
        if seen.unsupported is not None:
            raise UsageError(
                f"{arguments.implementation} is not asked {case.id}: {seen.unsupported}", hint="choose another case"
            )
        try:
            text = script(writer, session.implementation, question, seen)
        except CannotWrite as reason:
            raise UsageError(
                f"{case.id} cannot be written out for {arguments.implementation}: {reason}",
                hint=f"`conformance run --case {case.id!r} --adapter {arguments.implementation}` asks it",
            ) from None
    _write(text, arguments.output)
    return 0


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConformanceError(f"{output}: cannot be written: {error.strerror}") from error
    sys.stdout.write(f"{output}\n")
