"""The documents on results and report name the fields, verdicts and signs that there are."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from conformance.report.wording import VERDICTS
from conformance.results import rows
from conformance.results.rows import SEVERITY

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = (
    "RunRow", "CaseRow", "ImplementationRow", "InputRow", "ChoiceRow", "DeviationRow", "MergedRunRow", "CellRow",
    "QuantityRow", "EndRow",
)  # fmt: skip


@pytest.mark.parametrize("record", RECORDS)
def test_fields(record: str) -> None:
    """The table of a record has a line for each field, in order."""
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    table = text.partition(f"<!-- fields of {record} -->")[2].partition("\n\n")[0]
    expected = [field.encode_name for field in msgspec.structs.fields(getattr(rows, record))]
    assert expected == re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)


def test_every_record_has_a_table() -> None:
    """No record of the contract lacks its table."""
    structs = [
        name
        for name in vars(rows)
        if isinstance(getattr(rows, name), type) and issubclass(getattr(rows, name), msgspec.Struct)
    ]
    assert sorted(structs) == sorted(RECORDS)


def test_verdicts() -> None:
    """The verdicts are listed, gravest first."""
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    listed = text.partition("<!-- verdicts -->")[2].partition("<!-- end -->")[0]
    assert list(SEVERITY) == re.findall(r"`(\w+)`", listed)


def test_signs() -> None:
    """The signs and meanings in the document are those of the report."""
    text = (DOCS / "report.md").read_text(encoding="utf-8")
    for words in VERDICTS:
        assert f"| {words.glyph} | `{words.name}` | {words.meaning} |" in text
