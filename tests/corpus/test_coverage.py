"""The page of coverage counts what cases ask."""

from __future__ import annotations

from pathlib import Path

from conformance.corpus.case import Case, Inputs, Step
from conformance.corpus.coverage import calls, coverage_page
from conformance.corpus.load import load_corpus, load_file
from conformance.corpus.palette import EVALUATE_ONLY, LARGE, PALETTE
from conformance.definition.clauses import AREAS


def case(*steps: Step, name: str = "n", **fields: object) -> Case:
    """Return a case of those steps."""
    return Case(id=f"f/{name}", fact="F is G.", clauses=("1.1",), steps=steps, **fields)  # type: ignore[arg-type]


def row(page: str, section: str, start: str) -> str:
    """Return the row of a section that starts so."""
    body = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return next(line for line in body.splitlines() if line.startswith(start))


def test_a_forward_has_the_gradients_asked_for_later() -> None:
    """A backward that names a forward makes it one with a gradient."""
    first, second = calls(
        case(Step(train="a", name="one"), Step(evaluate="b"), Step(backward="one", gradients=("x",)))
    )
    assert ("train, gradient", "evaluate") == (first.kind, second.kind)


def test_a_rejected_call_is_none() -> None:
    """What is to fail shows nothing of the layer."""
    assert [] == list(calls(case(Step(train="a", rejected=True))))


def test_each_input_has_its_own_shape() -> None:
    """A batch of another size counts as that size."""
    asked = case(Step(train="a"), Step(evaluate="z"), shape="7x3", inputs={"z": Inputs(shape="1x3")})
    assert ["7x3", "1x3"] == [call.shape for call in calls(asked)]


def test_a_case_counts_once_in_a_cell() -> None:
    """Two calls of one kind in one case are one case."""
    page = coverage_page([case(Step(train="a"), Step(train="b")), case(Step(train="c"), name="m", dtype="float64")])
    assert "| 3 | train | 1 | 1 | – | – |" == row(page, "Precision and rank", "| 3 | train |")


def test_open_cases_count_in_areas_only() -> None:
    """An open case shows no combination to work, and says so in the head."""
    page = coverage_page([case(Step(train="a"), open=True)])
    assert "1 cases are in the default set, 1 of them open" in page
    assert "| 3 | train | – | – | – | – |" == row(page, "Precision and rank", "| 3 | train |")


def test_tagged_cases_are_counted_apart() -> None:
    """A tagged case is no part of any table."""
    page = coverage_page([case(Step(train="a")), case(Step(train="a"), name="m", tags=("large",))])
    assert "1 cases are in the default set, 0 of them open; 1 more are asked for by a tag" in page
    assert "| 1 | Normalise in train | 1 |" in page


def test_what_is_not_asked_is_listed() -> None:
    """Of 192 combinations one is asked, and the others are named."""
    page = coverage_page([case(Step(train="a"))])
    assert "Of 192 combinations of precision, rank, channel axis and call 1 are asked" in page
    assert "3 train;" not in row(page, "What is not asked", "| float32 | native |")
    assert "3 train;" in row(page, "What is not asked", "| float64 | native |")


def test_every_area_has_cases() -> None:
    """No area of the definition is without a case."""
    page = coverage_page(load_corpus())
    assert [] == [area for area, name in AREAS.items() if f"| {area} | {name} | – |" in page]


def test_large_shapes_are_tagged() -> None:
    """Shapes outside the palette are in cases tagged large, none of which is in the default set."""
    root = Path(__file__).parents[2] / "cases"
    large = load_file(root / "large.yaml", root)
    assert all((LARGE,) == one.tags for one in large)
    assert not {one.shape for one in large} & set(PALETTE + EVALUATE_ONLY)
    assert not {one.id for one in large} & {one.id for one in load_corpus()}
    assert {one.id for one in large} <= {one.id for one in load_corpus(tags=[LARGE])}


def test_the_default_set_is_large_enough() -> None:
    """At least 620 cases are asked and judged by default."""
    assert sum(1 for one in load_corpus() if not one.open) >= 620
