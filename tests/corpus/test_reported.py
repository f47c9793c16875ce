"""Every reported bug has a case that would show it, or a reason why there can be none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.corpus.lint import lint
from conformance.corpus.load import Definition, load_definitions
from conformance.corpus.reported import Bug, naming, reported_bugs, reported_page, strays

CORPUS = load_definitions()
BUGS = reported_bugs()

CASES = """\
title: T
cases:
  - name: named
    fact: The mean of the batch is subtracted.
    clauses: ["1.2", "1.1"]
    steps: [{train: a}]
    reported: [one/layer#1]
    vary:
      dtype: [float32, float64]
"""


def bug(number: int, reason: str | None = None) -> Bug:
    """Return a bug of that number."""
    return Bug(
        id=f"one/layer#{number}", url=f"https://example.org/{number}", implementation="Layer", year=2020,
        symptom="It is wrong.", reason=reason,
    )  # fmt: skip


@pytest.fixture
def named(tmp_path: Path) -> tuple[Definition, ...]:
    """A corpus that names the first bug."""
    (tmp_path / "own.yaml").write_text(CASES, encoding="utf-8")
    return load_definitions(tmp_path)


STRAYS = {
    "neither": ([bug(1), bug(2)], "one/layer#2 is named by no case; write one, or the `reason` why there can be none"),
    "both": ([bug(1, "out of reach")], "one/layer#1 has a reason why no case shows it, and the case own/named["),
    "twice": ([bug(1), bug(1)], "one/layer#1 is listed twice"),
}


@pytest.mark.parametrize(("bugs", "message"), STRAYS.values(), ids=STRAYS)
def test_a_stray_bug_is_found(bugs: list[Bug], message: str, named: tuple[Definition, ...]) -> None:
    """A bug without case and reason, with both, or listed twice is one finding."""
    ((_, found),) = strays(named, bugs)
    assert found.startswith(message)


def test_a_bug_with_a_case_or_a_reason_is_no_stray(named: tuple[Definition, ...]) -> None:
    """Either will do."""
    assert [] == list(strays(named, [bug(1), bug(2, "out of reach")]))


def test_a_finding_has_the_line_of_the_bug(tmp_path: Path) -> None:
    """Without cases, each bug that has no reason is found where it stands."""
    (tmp_path / "own.yaml").write_text(CASES.replace("    reported: [one/layer#1]\n", ""), encoding="utf-8")
    found = [one for one in lint(load_definitions(tmp_path)) if one.file.endswith("reported_bugs.yaml")]
    assert {one.id for one in BUGS if one.reason is None} == {one.message.split()[0] for one in found}
    lines = Path(__file__).parents[2].joinpath(found[0].file).read_text(encoding="utf-8").splitlines()
    assert f"- id: {found[0].message.split()[0]}" == lines[found[0].line - 1]


def test_an_unknown_report_is_found(tmp_path: Path) -> None:
    """A case of the suite names bugs on file only; a third party's may name any."""
    (tmp_path / "own.yaml").write_text(CASES, encoding="utf-8")
    definitions = load_definitions(tmp_path)
    message = "reported: one/layer#1 is none of the bugs on file; add it to conformance/corpus/reported_bugs.yaml"
    assert [message] == [one.message for one in lint(definitions) if "on file" in one.message]
    assert [] == lint(definitions, whole=False)


def test_the_page_has_a_row_for_each_bug() -> None:
    """Each bug is linked once; those with a case name it, the others their reason."""
    page = reported_page(CORPUS)
    assert [one.id for one in BUGS if naming(one, CORPUS)] + [one.id for one in BUGS if not naming(one, CORPUS)] == (
        re.findall(r"^\| \[([^\]]+)\]", page, flags=re.MULTILINE)
    )
    assert all(one.reason in page for one in BUGS if one.reason is not None)


def test_the_page_sorts_clauses_by_number(named: tuple[Definition, ...]) -> None:
    """Clauses stand in the order of the definition, cases without their variations."""
    row = next(line for line in reported_page(named, [bug(1)]).splitlines() if line.startswith("| [one/layer#1]"))
    assert row.endswith("| Layer, 2020 | It is wrong. | 1.1, 1.2 | `own/named` |")


def test_most_bugs_have_a_case() -> None:
    """At least four of five bugs would be shown by a case."""
    assert sum(1 for one in BUGS if naming(one, CORPUS)) >= 0.8 * len(BUGS)
