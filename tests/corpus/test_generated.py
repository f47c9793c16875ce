"""What is generated from the model, and what the pages say of it, is up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from conformance.cli.check import generated, stale, write
from conformance.corpus.case import Case, Inputs
from conformance.corpus.digest import digest
from conformance.corpus.load import default_root, load_corpus
from conformance.corpus.marks import parse, plain
from conformance.corpus.palette import EVALUATE_ONLY, PALETTE
from conformance.corpus.schema import schema
from conformance.corpus.select import select
from conformance.definition.clauses import CLAUSES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cases.md").read_text(encoding="utf-8")
FILES = sorted(default_root().rglob("*.yaml"))
MINIMAL: dict[str, Any] = {"name": "n", "fact": "F is G.", "clauses": ["1.1"], "steps": [{"train": "a"}]}

REFUSED: dict[str, dict[str, Any]] = {
    "unknown": {"epsilom": 1},
    "odd-dtype": {"dtype": "float8"},
    "odd-shape": {"shape": "4x"},
    "odd-step": {"steps": [{"fit": "a"}]},
    "odd-name": {"name": "N"},
    "odd-epsilon": {"epsilon": -1},
    "odd-vary": {"vary": {"epsilon": 1}},
    "odd-change": {"vary": {"order": {"ab": {"epsilom": 1}}}},
    "id": {"id": "f/n"},
}


def section(name: str) -> str:
    """Return the part of docs/cases.md after a marker, up to the next blank line."""
    return PAGE.partition(f"<!-- {name} -->\n")[2].partition("\n\n")[0]


def table(name: str) -> dict[str, str]:
    """Return the first two columns of a table of docs/cases.md."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section(name).splitlines()[2:]]
    return {row[0].strip("`"): row[1].strip("`") for row in rows}


def validator() -> jsonschema.Draft202012Validator:
    """Return a validator of case files."""
    return jsonschema.Draft202012Validator(schema())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_case_files_fit_the_schema(path: Path) -> None:
    """What the loader takes the schema takes."""
    document = plain(parse(path.read_text(encoding="utf-8"), path.name))
    assert [] == [error.message for error in validator().iter_errors(document)]


def test_the_schema_is_one() -> None:
    """The schema is valid and takes the smallest case."""
    jsonschema.Draft202012Validator.check_schema(schema())
    assert validator().is_valid({"title": "T", "cases": [MINIMAL]})


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_the_schema_refuses_faults(change: dict[str, Any]) -> None:
    """An editor marks the common faults."""
    assert not validator().is_valid({"title": "T", "cases": [{**MINIMAL, **change}]})


@pytest.mark.parametrize("name", generated())
def test_generated_files_are_up_to_date(name: str) -> None:
    """`conformance check --write` would change nothing."""
    assert generated()[name] == (ROOT / name).read_text(encoding="utf-8")


def test_a_stale_file_is_a_finding(tmp_path: Path) -> None:
    """An absent file and a changed one are found; written anew, neither is."""
    assert list(generated()) == [finding.file for finding in stale(tmp_path)]
    write(tmp_path)
    assert [] == stale(tmp_path)
    (tmp_path / "docs" / "definition.md").write_text("old", encoding="utf-8")
    assert ["docs/definition.md"] == [finding.file for finding in stale(tmp_path)]


def test_the_definition_page_holds_every_clause() -> None:
    """Each clause stands on the page with its sentence and formula."""
    page = generated()["docs/definition.md"]
    for clause in CLAUSES.values():
        assert f"**{clause.number}** {clause.sentence}\n\n    {clause.formula}\n" in page


@pytest.mark.parametrize(
    ("model", "name", "extra"), [(Case, "fields", {"name", "vary"}), (Inputs, "inputs", set())]
)
def test_the_page_names_every_field(model: Any, name: str, extra: set[str]) -> None:
    """docs/cases.md lists the fields of the model, with the defaults that are plain values."""
    fields = {field.name: field for field in msgspec.structs.fields(model) if field.name != "id"}
    rows = table(name)
    assert set(fields) | extra == set(rows)
    for field in fields.values():
        if isinstance(field.default, str | int | float):
            assert str(field.default).lower() == rows[field.name]
        elif field.required:
            assert "required" == rows[field.name]


def test_the_page_names_the_palette() -> None:
    """docs/cases.md lists the shapes."""
    assert list(PALETTE + EVALUATE_ONLY) == re.findall(r"`([0-9x]+)`", section("palette"))


@pytest.mark.parametrize("pattern", table("patterns"))
def test_the_patterns_of_the_page_match(pattern: str) -> None:
    """Each pattern that docs/cases.md shows covers a case."""
    assert select(load_corpus(), [pattern])


def test_the_example_of_the_page_is_a_case_of_the_corpus() -> None:
    """The file that docs/cases.md shows is taken from the corpus."""
    example = PAGE.partition("```yaml\n")[2].partition("```")[0]
    shown = plain(parse(example, "example"))["cases"][0]
    path = default_root() / "running_stats.yaml"
    real = plain(parse(path.read_text(encoding="utf-8"), path.name))["cases"]
    (original,) = [entry for entry in real if entry["name"] == shown["name"]]
    assert shown == {key: value for key, value in original.items() if key != "reported"}


def test_the_digest_depends_on_the_cases_alone() -> None:
    """The digest ignores the order of the cases and changes with any of them."""
    cases = load_corpus()
    assert digest(cases) == digest(reversed(cases))
    assert digest(cases) != digest(cases[1:])
    changed = msgspec.structs.replace(cases[0], epsilon=cases[0].epsilon * 2)
    assert digest(cases) != digest((changed, *cases[1:]))


def test_the_digest_is_canonical() -> None:
    """The digest is the SHA-256 of compact JSON with sorted keys."""
    assert 64 == len(digest(load_corpus()))
    assert "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945" == digest(())
    assert json.dumps([]) == "[]"
