"""The page of recorded deviations is made of the records, and what they claim is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.definition.variants import VARIANTS
from conformance.results.rows import SEVERITY
from conformance.verdict.deviations import Deviation, load_deviations
from conformance.verdict.deviations_page import deviations_page

ROOT = Path(__file__).parents[2]
RECORDS = load_deviations()


def test_the_page_is_up_to_date() -> None:
    """``docs/deviations.md`` is what the records make of it; ``conformance check --write`` regenerates it."""
    assert deviations_page() == (ROOT / "docs" / "deviations.md").read_text("utf-8")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_record_is_told_in_full(record: Deviation) -> None:
    """Name, reason, proof, cases, the variants with their sentences, and the link stand on the page."""
    page = " ".join(deviations_page().split())
    sentences = [VARIANTS[name].sentence for name in record.variants]
    for text in (f"#### {record.name} ", record.reason, record.proof, record.upstream, *record.cases, *sentences):
        assert text in page


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_the_proof_is_a_test(record: Deviation) -> None:
    """Every proof names the file of tests in which it is made, and the test that it names beside is in the file."""
    named = re.findall(r"(tests/\w+/test_\w+\.py)(?:::(\w+))?", record.proof)
    assert named
    for file, function in named:
        text = (ROOT / file).read_text("utf-8")
        assert f"\ndef {function or 'test_'}" in text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_proof_is_of_the_dtype(dtype: str) -> None:
    """The proof of a record whose cases are all of one dtype of 16 bits is made in a file that asks in that dtype."""
    records = [record for record in RECORDS if all(f"[dtype={dtype}," in pattern for pattern in record.cases)]
    assert records
    for record in records:
        files = re.findall(r"tests/\w+/test_\w+\.py", record.proof)
        assert any(re.search(rf"\b{dtype}\b", (ROOT / file).read_text("utf-8")) for file in files), record.name


def test_verdicts_are_told_in_their_order() -> None:
    """``docs/verdicts.md`` lists the nine verdicts, the worst first."""
    page = (ROOT / "docs" / "verdicts.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (?:error|fails|xfails|passes|skips) \|", page, re.MULTILINE)
    assert list(SEVERITY) == rows
