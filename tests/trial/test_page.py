"""The page of the variants tells what is: each of them, and by how much it is caught."""

from __future__ import annotations

import re
from math import inf
from pathlib import Path

import pytest

from conformance.definition.variants import VARIANTS
from conformance.trial.mutants import Kill
from conformance.trial.page import variants_page

PAGE = Path(__file__).parents[2] / "docs" / "variants.md"


def rows() -> list[list[str]]:
    """Return the cells of the page's tables."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0] not in ("variant", "---")]


def test_the_page_has_every_variant() -> None:
    """docs/variants.md has each variant with its sentence; `conformance check --mutants --write` makes it so."""
    assert {name: variant.sentence for name, variant in VARIANTS.items()} == {row[0]: row[1] for row in rows()}


def test_every_margin_on_the_page_is_enough() -> None:
    """No variant on the page is told from what is right by fewer than ten plain bounds."""
    assert [] == [row for row in rows() if float(row[2].replace("∞", "inf")) < 10]


@pytest.mark.parametrize(("margin", "shown"), [(26.1, "20"), (4321.0, "4000"), (5.99e5, "5e5"), (inf, "∞")])
def test_a_margin_is_cut_to_a_digit(margin: float, shown: str) -> None:
    """A margin is cut, so that it is never told larger than it is."""
    page = variants_page([Kill("momentum swapped", 1, 1, 1, margin, "small/train", ())])
    assert f"| {shown} | `small/train` |" in page
