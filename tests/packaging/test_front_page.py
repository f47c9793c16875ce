"""The front page and the documentation say what is: numbers, links, commands."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from conformance.cli.main import VERBS
from conformance.results.rows import SEVERITY
from conformance.verdict.deviations import Deviation, load_deviations
from tools import front_page

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]


def test_generated_parts_are_up_to_date() -> None:
    """`make docs` would change nothing in README.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert front_page.filled(text) == text


def test_a_lost_marker_is_told() -> None:
    """A page that lost a marker is refused by the marker's name."""
    with pytest.raises(ValueError, match="generated: numbers"):
        front_page.filled("# nothing here\n")


def test_every_verdict_is_explained() -> None:
    """The table of verdicts has a row for each."""
    table = front_page.verdicts()
    assert [] == [verdict for verdict in SEVERITY if f"`{verdict}`" not in table]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link of a page names a file of the checkout."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]
    assert [] == [link for link in links if link and not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_exist(page: Path) -> None:
    """Every verb of `conformance` and every target of make that a page shows exists."""
    code = "\n".join(re.findall(r"`[^`\n]+`|^\$ .*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE))
    verbs = set(re.findall(r"(?:^\$ |`)conformance ([a-z]+)", code, flags=re.MULTILINE))
    targets = set(re.findall(r"(?:^\$ |`)make ([a-z]+)", code, flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set() == verbs - set(VERBS)
    assert set() == targets - set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))


def test_every_page_is_in_the_index() -> None:
    """docs/README.md leads to every page beside it."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [] == [page.name for page in DOCS if page.name != "README.md" and f"]({page.name})" not in index]


def test_every_field_of_a_record_is_explained() -> None:
    """docs/deviations.md has a row for each field of a recorded deviation, and tells those that it must have."""
    page = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    rows = page.partition("<!-- fields -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    shown = {cells[1].strip().strip("`"): cells[2].strip() == "required" for cells in (row.split("|") for row in rows)}
    assert {field.name: field.required for field in msgspec.structs.fields(Deviation)} == shown


def test_the_record_that_is_shown_is_one() -> None:
    """The example of docs/deviations.md is taken as a record, and is named as one of the suite is."""
    page = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    (shown,) = msgspec.convert(example, list[Deviation])
    assert shown.name in [record.name for record in load_deviations()]
