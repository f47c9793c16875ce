"""The corpus is linted; each lint finds its own kind of defect."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.corpus.lint import LINTS, lint
from conformance.corpus.load import load_corpus, load_definitions
from conformance.corpus.palette import EVALUATE_ONLY, PALETTE
from conformance.definition.clauses import CLAUSES

GOOD = """\
title: T
cases:
  - name: first
    fact: The mean of the batch is subtracted.
    clauses: ["1.1"]
    steps: [{train: a}]
  - name: second
    fact: The variance of the batch is divided by.
    clauses: ["1.1"]
    steps: [{train: b}]
"""

DEFECTS = {
    "same-fact": (
        "The variance of the batch is divided by",
        "The mean of the batch is subtracted",
        "7",
        "the fact of",
    ),
    "same-question": ("train: b", "train: a", "7", "bad/second asks what bad/first asks"),
    "should": ("is divided by", "should be divided by", "7", "the fact says 'should'"),
    "test-that": ("The variance", "Test that the variance", "7", "the fact says 'Test'"),
    "no-sentence": ("divided by.", "divided by", "7", "the fact is not one sentence"),
    "lower-case": ("The variance", "the variance", "7", "the fact is not one sentence"),
    "odd-shape": (
        "- name: second",
        "- shape: 9x3\n    name: second",
        "7",
        "shape 9x3 is outside the palette",
    ),
    "one-row": (
        "- name: second",
        "- shape: 1x3\n    name: second",
        "7",
        "shape 1x3 has one value per channel and is trained on",
    ),
    "odd-report": (
        "- name: second",
        "- reported: [torch]\n    name: second",
        "7",
        "found 'torch', expected owner/",
    ),
    "clause-twice": (
        'divided by.\n    clauses: ["1.1"]',
        'divided by.\n    clauses: ["1.1", "1.1"]',
        "7",
        "second cites a clause twice",
    ),
}


def found(folder: Path, text: str) -> list[str]:
    """Return what the lints find in one file of that text."""
    root = folder / "cases"
    root.mkdir()
    (root / "bad.yaml").write_text(text, encoding="utf-8")
    return [str(finding) for finding in lint(load_definitions(root), whole=False)]


def test_a_clean_file_has_no_findings(tmp_path: Path) -> None:
    """The text that the defective ones are made of has no findings."""
    assert [] == found(tmp_path, GOOD)


@pytest.mark.parametrize(("old", "new", "line", "message"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_found(old: str, new: str, line: str, message: str, tmp_path: Path) -> None:
    """A defect is one finding, with file and line."""
    assert 1 == GOOD.count(old)
    (finding,) = found(tmp_path, GOOD.replace(old, new))
    assert finding.startswith(f"cases/bad.yaml:{line}: ")
    assert message in finding


def test_a_clause_without_case_is_found(tmp_path: Path) -> None:
    """A whole corpus cites every clause; one that it misses is found in the line that defines it."""
    (tmp_path / "a.yaml").write_text(GOOD, encoding="utf-8")
    findings = [one for one in lint(load_definitions(tmp_path)) if one.message.startswith("clause ")]
    assert len(CLAUSES) - 1 == len(findings)
    source = Path(__file__).parents[2].joinpath(findings[0].file).read_text(encoding="utf-8").splitlines()
    assert f'"{findings[0].message.split()[1]}",' == source[findings[0].line - 1].strip()


def test_the_corpus_has_no_findings() -> None:
    """The suite's own cases pass every lint."""
    assert [] == [str(finding) for finding in lint(load_definitions())]


def test_every_lint_says_what_it_finds() -> None:
    """Each lint states in one sentence what it finds."""
    assert [] == [check.__name__ for check in LINTS if not (check.__doc__ or "").startswith("Find ")]


def test_the_palette_is_small_and_uneven() -> None:
    """At most 14 shapes, no two dimensions of one alike."""
    shapes = [shape.split("x") for shape in PALETTE + EVALUATE_ONLY]
    assert len(shapes) <= 14
    assert all(len(set(shape)) == len(shape) for shape in shapes)


def test_every_shape_of_the_palette_is_used() -> None:
    """No shape stays in the palette unused."""
    accepted = [(case, step) for case in load_corpus() if not case.open for step in case.steps if not step.rejected]
    used = {case.input(label).shape for case, step in accepted for label in step.labels}
    assert set(PALETTE + EVALUATE_ONLY) == used


def test_the_corpus_covers_the_ranges_it_claims() -> None:
    """All four precisions, with epsilon from 1e-12 to 1 and variances from 1e-6 to 1e6."""
    cases = load_corpus()
    assert {"float64", "float32", "bfloat16", "float16"} == {case.dtype for case in cases}
    assert {1e-12, 1e-5, 1e-3, 1.0} <= {case.epsilon for case in cases}
    assert {1e-3, 1.0, 1e3} <= {case.x.scale for case in cases}
    assert {0, 0.1, 0.5, 0.9, 1, "cumulative"} <= {case.momentum for case in cases}
    assert {2, 3, 4, 5} == {case.layer.rank for case in cases}
