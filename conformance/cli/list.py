"""``conformance list``: the cases, the implementations or the variants, one a line."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from conformance.adapters.contract import LayerConfig
from conformance.adapters.declared import DECLARED, in_short, parting
from conformance.adapters.registry import AdapterSpec, known
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.definition.variants import VARIANTS
from conformance.engine.adapters import CANARY, configured_hosts
from conformance.errors import UsageError
from conformance.host.configuration import ConfiguredHost
from conformance.modelled.systems import MODELS

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "List cases, implementations or variants, one a line."


#: Whose dialect is shown of what is modelled: one of the usual kind.
_LAYER = LayerConfig(
    channels=3, rank=4, momentum=0.1, epsilon=1e-5, gamma=True, beta=True, tracked=True, dtype="float32",
    param_dtype="float32", channel_axis="native",
)  # fmt: skip


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One implementation as it is listed, without starting it.

    ``version`` is empty where nothing is installed; ``dialect`` has the choices in which it parts from the paper, or is
    ``None`` where only its host knows; ``install`` brings what is lacking; ``command`` starts a host.
    """

    name: str
    version: str = ""
    execution: str = "eager"
    device: str = "cpu"
    provenance: str = "executed"
    dialect: dict[str, str] | None = None
    default: bool = False
    install: str = ""
    command: str = ""

    @property
    def said(self) -> str:
        """Return the last cell of its line: the dialect, or what is to be known before it."""
        if self.install:
            return f"not installed; {self.install}"
        if self.command:
            return f"host; {self.command}"
        return "dialect as its host declares" if self.dialect is None else in_short(self.dialect)


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
    parser.add_argument("--json", action="store_true", help="implementations for programs, with all that is known")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="cases with this tag too; repeatable")


def execute(arguments: argparse.Namespace) -> int:
    """Print the list.

    Raises:
        UsageError: a pattern matches no case, or is given for another list.
    """
    if (arguments.case or arguments.tag) and not arguments.cases:
        raise UsageError("--case and --tag go with --cases", hint="conformance list --cases --case PATTERN --tag TAG")
    if arguments.json and (arguments.cases or arguments.variants):
        raise UsageError("--json goes with --implementations", hint="conformance list --implementations --json")
    if arguments.cases:
        lines = [case.id for case in select(load_corpus(tags=arguments.tag), arguments.case)]
    elif arguments.variants:
        lines = [f"{name}: {variant.sentence}" for name, variant in VARIANTS.items()]
    else:
        file = Path(arguments.implementations) if arguments.implementations else None
        hosts = configured_hosts(file, Path.cwd())
        rows = list(_rows(known().values(), hosts.values()))
        if arguments.json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n")
            return 0
        lines = list(_lines(rows))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _rows(specs: Iterable[AdapterSpec], hosts: Iterable[ConfiguredHost]) -> Iterator[Listed]:
    """Yield what is known of each without starting it: of a host by command that is its command.

    Those that cannot be run here, and are modelled, come last.
    """
    for spec in specs:
        declared = DECLARED.get(spec.name.partition(":")[0])
        version = np.__version__ if spec.name == CANARY else spec.version
        yield Listed(
            name=spec.name, version=version, execution=spec.execution, dialect=declared, default=spec.default,
            install=spec.remedy,
        )  # fmt: skip
    for host in hosts:
        yield Listed(name=host.name, execution="", device="", command=shlex.join(host.command))
    for model in MODELS.values():
        yield Listed(
            name=model.name, version=model.version, provenance="modelled", dialect=parting(model.dialect_for(_LAYER)),
        )  # fmt: skip


def _lines(rows: Sequence[Listed]) -> Iterator[str]:
    """Yield a line for each; a star marks those that a run asks by default."""
    table = [
        (row.name, row.version or "-", row.execution or "-", row.device or "-",
         row.provenance + ("*" if row.default else ""), row.said)
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
