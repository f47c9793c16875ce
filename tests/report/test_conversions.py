"""The page of conversions: names side by side, and what no renaming preserves."""

from __future__ import annotations

from dataclasses import asdict

import msgspec
import pytest

from conformance.adapters.contract import Implementation
from conformance.adapters.naming import naming_of
from conformance.definition.dialect import Dialect
from conformance.engine.column import implementation_row
from conformance.report.conversion_page import conversion_page
from conformance.report.dialects import tabulate
from conformance.report.grid import Grid
from conformance.results.read import Results
from conformance.results.rows import ImplementationRow, RunRow


def page(*rows: ImplementationRow) -> str:
    run = RunRow(suite="1", started="2026-01-01T00:00:00+00:00", machine={}, cases_digest="", cases=(),
                 implementations=rows)  # fmt: skip
    return str(conversion_page(Grid(Results(run=run, cells=(), complete=True)), tabulate(rows)))


def row(name: str, **choices: str) -> ImplementationRow:
    dialect = Dialect(**choices)  # type: ignore[arg-type]  # a choice by its name
    return implementation_row(Implementation(name=name, versions={name: "1"}), dialect)


def test_a_column_has_the_names_that_the_suite_knows() -> None:
    """The row of an implementation says what it calls its momentum, and its default."""
    naming = naming_of("torch")
    assert naming is not None
    assert {name: value for name, value in asdict(naming).items() if value not in (None, "")} == row("torch").names


def test_an_implementation_of_ones_own_has_none() -> None:
    """Of what the suite does not know no names are made up."""
    assert {} == row("mine").names


@pytest.mark.parametrize(("name", "written"), [("torch", "momentum=0.1"), ("keras-tensorflow", "momentum=0.9")])
def test_one_weight_is_written_two_ways(name: str, written: str) -> None:
    """A weight of 0.1 of the new batch is what each implementation writes for it."""
    assert f"<code>{written}</code>" in page(row(name))


def test_a_default_is_shown_as_the_weight_of_the_new_batch() -> None:
    """Keras' default of 0.99 is a weight of 0.01."""
    assert "<td>0.01</td>" in page(row("keras-tensorflow"))


def test_choices_that_part_are_told() -> None:
    """Where estimators part the page says who does what, and not where they are one."""
    text = page(row("torch", running_variance="sample"), row("flax-linen", running_variance="population"))
    assert "sample: torch; population: flax-linen" in text
    assert "first update" not in text


def test_no_names_at_all() -> None:
    """A run of implementations that the suite does not know says so."""
    assert "has its names written down" in page(row("mine"))


def test_names_are_data() -> None:
    """Markup in a name is text."""
    hostile = msgspec.structs.replace(row("torch"), names={"constructor": "<script>x</script>", "momentum": "m"})
    assert "<script>" not in page(hostile)
