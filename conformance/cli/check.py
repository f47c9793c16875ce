"""``conformance check``: lints the corpus, and holds the generated files against their sources."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conformance.cli.mutants import print_kills
from conformance.corpus.coverage import coverage_page
from conformance.corpus.lint import Finding, lint
from conformance.corpus.load import checkout, load_definitions
from conformance.corpus.page import definition_page
from conformance.corpus.reported import reported_page
from conformance.corpus.schema import schema_text
from conformance.corpus.select import in_set
from conformance.definition.clauses import CLAUSES
from conformance.errors import UsageError
from conformance.host.configuration_schema import hosts_schema_text
from conformance.modelled.page import modelled_page
from conformance.trial.choices import indistinct_options
from conformance.trial.page import variants_page
from conformance.verdict.deviations import load_deviations
from conformance.verdict.deviations_check import faults_of
from conformance.verdict.deviations_page import deviations_page

__all__ = ["SUMMARY", "configure", "execute"]

_CHOICES = "conformance/definition/dialect.py"
_RECORDS = "conformance/deviations"
SUMMARY = "Lint the cases, and hold the generated files against their sources."


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("folder", nargs="?", type=Path, help="case files to lint (default: the suite's own)")
    parser.add_argument(
        "--write",
        action="store_true",
        help="regenerate the pages of docs/ that are made from cases, clauses and records, and cases/case.schema.json, "
        "and with --mutants docs/variants.md (checkout only)",
    )
    parser.add_argument(
        "--mutants",
        nargs="?",
        const="some",
        choices=("some", "all"),
        help="put every variant in as an implementation and print which cases catch and name it: one case of each "
        "entry (a minute; a mutant that survives those meets the rest), or all (some minutes)",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print every finding as ``file:line: message``; return 1 if there is one."""
    root = checkout()
    if arguments.write:
        if root is None:
            raise UsageError(
                "--write: found no checkout around the package", hint="run it from a clone of the suite"
            )
        write(root)
    definitions = load_definitions(arguments.folder)
    findings = lint(definitions, whole=arguments.folder is None)
    if root is not None and arguments.folder is None:
        findings += stale(root)
    corpus = [case for definition in definitions for case in definition.cases]
    asked = [case for case in corpus if in_set(case, ())]
    if arguments.folder is None:
        findings += [Finding(_CHOICES, 1, message) for message in indistinct_options(asked)]
        findings += [Finding(_RECORDS, 1, message) for message in faults_of(load_deviations(), corpus)]
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    cases = sum(len(definition.cases) for definition in definitions)
    found = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}" if findings else "no findings"
    sys.stdout.write(f"{cases} case{'' if cases == 1 else 's'}, {len(CLAUSES)} clauses, {found}\n")
    survived = 0
    if arguments.mutants is not None:
        survived, table = print_kills(asked, whole=arguments.mutants == "all")
        if arguments.write and root is not None:
            (root / "docs" / "variants.md").write_text(variants_page(table), encoding="utf-8")
    return 1 if findings or survived else 0


def generated() -> dict[str, str]:
    """Return the generated files of a checkout: path below its root to text."""
    definitions = load_definitions()
    return {
        "docs/definition.md": definition_page(),
        "docs/coverage.md": coverage_page([case for definition in definitions for case in definition.cases]),
        "docs/reported_bugs.md": reported_page(definitions),
        "docs/deviations.md": deviations_page(),
        "docs/modelled.md": modelled_page(),
        "cases/case.schema.json": schema_text(),
        "docs/hosts.schema.json": hosts_schema_text(),
    }


def stale(root: Path) -> list[Finding]:
    """Return a finding for each generated file of the checkout that is absent or out of date."""
    message = "is out of date; `conformance check --write` regenerates it"
    return [
        Finding(name, 1, message)
        for name, text in generated().items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != text
    ]


def write(root: Path) -> None:
    """Write the generated files into the checkout."""
    for name, text in generated().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
