"""``conformance diff``: what changed from one run to another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from conformance.results.diff import Change, Difference, diff
from conformance.results.meaning import MeaningChange
from conformance.results.read import Results, read_results
from conformance.results.tables import FORMATS, Format, markdown_table, pretty_table

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Compare two runs: cells added, removed, changed, regressed and mended."
_LISTS = ("regressed", "mended", "changed", "added", "removed")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("old", type=Path, metavar="OLD", help="results of the earlier run, file or folder")
    parser.add_argument("new", type=Path, metavar="NEW", help="results of the later run, file or folder")
    parser.add_argument("--format", choices=FORMATS, default="pretty", help="how to print (default: %(default)s)")


def execute(arguments: argparse.Namespace) -> int:
    """Print the comparison; the exit code is 1 if a cell regressed."""
    old, new = read_results(arguments.old), read_results(arguments.new)
    difference = diff(old, new)
    sys.stdout.write(_render(difference, (old, new), arguments.format))
    return 1 if difference.regressed else 0


def _render(difference: Difference, runs: tuple[Results, Results], form: Format) -> str:
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(difference), indent=2).decode() + "\n"
    heading = "### {}" if form == "markdown" else "{}"
    parts = [_counts(difference), *_partial(runs), *_meaning(difference)]
    for name in _LISTS:
        changes: tuple[Change, ...] = getattr(difference, name)
        if changes:
            parts.append(heading.format(f"{name.capitalize()} ({len(changes)})"))
            parts.append(_table(changes, form))
    return "\n\n".join(parts) + "\n"


def _counts(difference: Difference) -> str:
    counts = [f"{len(getattr(difference, name))} {name}" for name in _LISTS]
    return ", ".join((*counts, f"{difference.unchanged} unchanged"))


def _partial(runs: tuple[Results, Results]) -> list[str]:
    lacking = [name for name, run in zip(("old", "new"), runs, strict=True) if not run.complete]
    return [f"PARTIAL: the {' and the '.join(lacking)} run did not finish."] if lacking else []


def _meaning(difference: Difference) -> list[str]:
    """Return what the same cells no longer mean the same by."""
    told = [f"{one.implementation}, {_span(one)}: {one}, {_how(one)}" for one in difference.meanings]
    if difference.questions:
        told.append(f"{len(difference.questions)} cases ask something else: {', '.join(difference.questions[:5])}")
    return ["\n".join(f"- {line}" for line in told)] if told else []


def _table(changes: tuple[Change, ...], form: Format) -> str:
    head = ("case", "implementation", "versions", "old", "new", "detail")
    rows = [(c.case, c.implementation, _versions(c), c.old or "absent", c.new or "absent", c.detail) for c in changes]
    if form == "markdown":
        return markdown_table(head, rows, numeric=False)
    return pretty_table(head, rows, numeric=False)


def _versions(change: Change) -> str:
    return " -> ".join(dict.fromkeys(version for version in (change.old_version, change.new_version) if version))


def _span(change: MeaningChange) -> str:
    return " -> ".join(dict.fromkeys((change.old_version, change.new_version)))


def _how(change: MeaningChange) -> str:
    if change.declared:
        return "as its dialect declares"
    return f"not declared, but seen in {change.cells} cell{'' if change.cells == 1 else 's'}"
