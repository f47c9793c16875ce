"""``conformance list``: the cases, the implementations or the variants, one a line."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from conformance.adapters.registry import AdapterSpec, known
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.definition.variants import VARIANTS
from conformance.engine.adapters import configured_hosts
from conformance.errors import UsageError
from conformance.host.configuration import ConfiguredHost
from conformance.modelled.systems import MODELS

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "List cases, implementations or variants, one a line."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cases", action="store_true", help="the ids of all cases")
    what.add_argument(
        "--implementations", nargs="?", const="", metavar="FILE",
        help="every adapter, how to install what it lacks, and the hosts by command of FILE (default: pyproject.toml)",
    )  # fmt: skip
    what.add_argument("--variants", action="store_true", help="the named changes of the oracle that explain deviations")
    parser.add_argument("--case", action="append", default=[], metavar="PATTERN", help="only cases of this pattern")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="cases with this tag too; repeatable")


def execute(arguments: argparse.Namespace) -> int:
    """Print the list.

    Raises:
        UsageError: a pattern matches no case, or is given for another list.
    """
    if (arguments.case or arguments.tag) and not arguments.cases:
        raise UsageError("--case and --tag go with --cases", hint="conformance list --cases --case PATTERN --tag TAG")
    if arguments.cases:
        lines = [case.id for case in select(load_corpus(tags=arguments.tag), arguments.case)]
    elif arguments.variants:
        lines = [f"{name}: {variant.sentence}" for name, variant in VARIANTS.items()]
    else:
        file = Path(arguments.implementations) if arguments.implementations else None
        hosts = configured_hosts(file, Path.cwd())
        lines = list(_implementations(known().values(), hosts.values()))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _implementations(specs: Iterable[AdapterSpec], hosts: Iterable[ConfiguredHost]) -> Iterator[str]:
    """Yield a line for each: name, version, execution, whether it runs by default; or how to install it.

    Of a host by command version and execution are known once it is started; its line has the command.
    Those that cannot be run here, and are modelled, come last.
    """
    table = [
        (spec.name, spec.version or "-", spec.execution, "default" if spec.default else "optional",
         "" if spec.is_installed else f"not installed; {spec.remedy}")
        for spec in specs
    ]  # fmt: skip
    table += [(host.name, "-", "-", "host", shlex.join(host.command)) for host in hosts]
    table += [(model.name, model.version, "eager", "modelled", "") for model in MODELS.values()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
