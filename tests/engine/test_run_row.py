"""The first row of a results file tells what was run, on what, and what was not."""

from __future__ import annotations

from conformance import __version__
from conformance.corpus.case import Case
from conformance.corpus.digest import digest
from conformance.definition.clauses import CLAUSES
from conformance.engine.machine import case_row, run_row

Cases = tuple[Case, ...]


def test_selection(cases: Cases) -> None:
    """A part of the corpus is named, with the digest of all of it."""
    row = run_row(cases[:1], corpus=cases, not_installed={"torch": "pip install it"}, selection="made/train")
    assert ("made/train", ["made/train"]) == (row.selection, [case.id for case in row.cases])
    assert digest(cases) == row.cases_digest
    assert digest(cases[:1]) != row.cases_digest
    assert {"torch": "pip install it"} == row.not_installed


def test_machine_and_suite(cases: Cases) -> None:
    """The row names the suite's version, the machine, and every clause."""
    row = run_row(cases, corpus=cases, not_installed={})
    assert __version__ == row.suite
    assert {"system", "processor", "cores", "python"} == row.machine.keys()
    assert all(row.machine.values())
    assert CLAUSES.keys() == row.clauses.keys()
    assert "" == row.selection


def test_a_case_is_told_by_what_is_not_default(cases: Cases) -> None:
    """A case's source holds what was written, with shape and dtype always."""
    row = case_row(cases[0])
    assert {"shape": "5x3", "dtype": "float32"}.items() <= row.source.items()
    assert {"shape", "dtype", "steps"} == row.source.keys()
