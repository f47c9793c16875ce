"""The command ``conformance``: finds the verb and runs it."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from conformance import __version__
from conformance.errors import ConformanceError, UsageError

__all__ = ["VERBS", "main"]

#: Each verb is a module of this package with ``SUMMARY``, ``configure(parser)`` and
#: ``execute(arguments) -> int``; only the one asked for does more than describe itself.
VERBS = {
    name: name
    for name in (
        "run", "report", "merge", "diff", "show", "summary", "explain", "identify", "convert", "repro", "export",
        "fuzz", "list", "smoke", "check",
    )
}  # fmt: skip
VERBS["import"] = "import_"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 fine, 1 differs, 2 bad input, 3 void."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _refuse_unknown(given)
    except UsageError as error:
        sys.stderr.write(f"conformance: {error}\n")
        return error.exit_code
    options = _parser().parse_args(given)
    verb = importlib.import_module(f"conformance.cli.{VERBS[options.verb]}")
    try:
        return int(verb.execute(options))
    except ConformanceError as error:
        sys.stderr.write(f"conformance {options.verb}: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        kept = "; finished cells are kept" if options.verb == "run" else ""
        sys.stderr.write(f"\nconformance {options.verb}: interrupted{kept}\n")
        return 130


def _refuse_unknown(given: Sequence[str]) -> None:
    """Refuse a verb that there is not, and name those that look like it: argparse only lists them all."""
    verb = given[0] if given else "--help"
    if verb.startswith("-") or verb in VERBS:
        return
    close = difflib.get_close_matches(verb, VERBS, n=2, cutoff=0.6)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    raise UsageError(f"no verb is named {verb!r}{meant}", hint="`conformance --help` says what each verb does")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="conformance",
        description="Put batch normalisation cases to every implementation and show where they agree.",
        epilog="exit codes: 0 fine; 1 a cell differs, changed or crashed; 2 usage or bad input; 3 void; "
        "130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"conformance {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in VERBS.items():
        verb = importlib.import_module(f"conformance.cli.{module}")
        verb.configure(verbs.add_parser(name, help=verb.SUMMARY, description=verb.SUMMARY))
    return parser
