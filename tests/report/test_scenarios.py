"""The page of scenarios: questions, answers, numbers of the run, and the curves of convergence."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import msgspec
import pytest
from playwright.sync_api import Page, expect

from conformance.adapters.built_in import BUILT_IN
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.definition.dialect import choices
from conformance.report.convergence import curves
from conformance.report.grid import Grid
from conformance.report.scenario_page import scenario_page
from conformance.results.read import Results
from conformance.results.rows import CaseRow, CellRow, ImplementationRow, InputRow, QuantityRow, RunRow
from conformance.topics.table import STATE_IS_A_VALUE, Figure, topics, value_of

CASES = {case.id: case for case in load_corpus()}
CURVE = "scenarios/convergence/curve[momentum=0.5,dtype=float32]"
PROBE = "running_stats/probe[dtype=float32]"


def mse(values: list[float], window: tuple[int, int] | None) -> QuantityRow:
    return QuantityRow(
        step=1, name="mse", clause="21.2", verdict="agrees", shape=(len(values),), window=window or (0, len(values)),
        observed=tuple(values), expected=tuple(values),
    )  # fmt: skip


def results(*, window: tuple[int, int] | None = None) -> Results:
    """Return a run of two cases on three implementations, of which two predict the same."""
    rows = tuple(
        ImplementationRow(id=f"{name}@1:eager:cpu", name=name, versions={name: "1"}, dialect={"running_variance": kept})
        for name, kept in (("torch", "sample"), ("flax-linen", "population"), ("haiku", "population"))
    )
    source = {"shape": "4x3", "momentum": 0.5, "steps": [{"converge": "a", "times": 3}]}
    gamma = {"gamma": InputRow(dtype="float32", shape=(3,), values=(1.0, 1.0, 1.0))}
    cases = (
        CaseRow(id=CURVE, fact="Curves fall.", clauses=("21.2",), source=source, inputs=gamma),
        CaseRow(id=PROBE, fact="A probe tells.", clauses=("3.2",), source={"shape": "3x2"}),
    )
    falling = [1.0, 0.25, 0.0625, 0.015625]
    series = {"torch": [1.0, 0.25, 0.02, 0.0156], "flax-linen": falling, "haiku": falling}
    cells = [
        CellRow(
            case=CURVE, implementation=row.id, verdict="agrees",
            quantities=(mse(series[row.name], window),),
        )
        for row in rows
    ]  # fmt: skip
    probe = QuantityRow(step=1, name="running_var", clause="3.2", verdict="agrees", shape=(2,), window=(0, 2),
                        observed=(1.3, 1.3), expected=(1.3, 1.3))  # fmt: skip
    cells.append(CellRow(case=PROBE, implementation=rows[0].id, verdict="agrees", quantities=(probe,)))
    run = RunRow(
        suite="1", started="2026-01-01T00:00:00Z", machine={}, cases_digest="", cases=cases, implementations=rows
    )
    return Results(run=run, cells=tuple(cells), complete=True, seconds=1.0)


def section(page: str, name: str) -> str:
    """Return the part of the page that is about one question."""
    return page.split(f'id="asked-{name}"')[1].split("<section", maxsplit=1)[0]


@pytest.mark.parametrize("topic", topics(), ids=lambda topic: topic.name)
def test_every_case_of_a_topic_is_there(topic: msgspec.Struct) -> None:
    """The patterns of a topic cover cases of the default set."""
    assert select(CASES.values(), topic.cases)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "figure", [figure for topic in topics() for figure in topic.numbers], ids=lambda one: f"{one.case} {one.label}"
)
def test_every_number_is_asked_for(figure: Figure) -> None:
    """Each number belongs to a step that is there and asks for it."""
    step = CASES[figure.case].program[figure.step - 1]
    asked = {*step.observe, *(f"d{name}" for name in step.gradients), *(f"hvp_{name}" for name in step.hvp)}
    asked |= {"mse"} if step.against or step.converge else set()
    assert figure.quantity in asked | ({"loss"} if step.target else set())


def test_choices_of_topics_are_choices() -> None:
    """A topic that depends on a choice names one of the dialect's."""
    assert {topic.choice for topic in topics() if topic.choice} <= choices().keys()


def test_names_of_topics_differ() -> None:
    """No two topics share a name: it is part of an address."""
    names = [topic.name for topic in topics()]
    assert len(names) == len(set(names))


def test_who_returns_the_state_is_built_in() -> None:
    """Every implementation that is said to return its state is one of the suite's."""
    assert {name.partition(":")[0] for name in BUILT_IN} >= STATE_IS_A_VALUE


def test_the_worst_element_is_found_in_its_window() -> None:
    """Of a large array the value at the worst index is told, which results always keep."""
    row = QuantityRow(
        step=1, name="dx", clause="6.1", verdict="agrees", shape=(7, 3), worst_index=(4, 2), window=(10, 18),
        observed=tuple(float(at) for at in range(10, 18)),
    )  # fmt: skip
    cell = CellRow(case="a/b", implementation="x", verdict="agrees", quantities=(row,))
    figure = Figure(case="a/b", step=1, quantity="dx", label="worst", index="worst")
    assert value_of(figure, cell) == 14.0
    assert value_of(msgspec.structs.replace(figure, index=0), cell) is None


def test_implementations_with_one_prediction_share_a_line() -> None:
    """A curve has a line for each prediction, and every implementation's own points."""
    (curve,) = curves(Grid(results()))
    assert [["torch 1"], ["flax-linen 1", "haiku 1"]] == [list(kind.measured) for kind in curve.kinds]
    assert (0.25, 1 / 64) == (curve.slope, curve.floor)


def test_a_series_that_results_have_cut_is_not_drawn() -> None:
    """What only the surroundings of the worst element are known of is no curve."""
    assert [] == curves(Grid(results(window=(0, 3))))


def test_the_picture_has_lines_points_and_what_was_derived() -> None:
    """The picture has a line for each prediction, a mark for each point, slope, floor and both axes."""
    picture = section(scenario_page(Grid(results())), "convergence").split("<svg")[1].split("</svg>")[0]
    assert picture.count('class="run"') == 2 * 2  # drawn, and in the legend
    assert 3 * 4 == len(re.findall(r"<title>[a-z-]+ 1: [0-9.e-]+ after \d</title>", picture))
    assert picture.count('class="slope"') == picture.count('class="floor"') == 2
    assert "training calls on the same batch, k" in picture


def test_numbers_come_from_the_run() -> None:
    """A topic shows what each implementation has answered, and its option of the choice."""
    told = section(scenario_page(Grid(results())), "estimator")
    assert "<td>sample</td><td>1.3</td>" in told
    assert "flax-linen 1, haiku 1" in told


def test_a_run_without_its_cases_says_so() -> None:
    """Where no case of a topic was run, the topic says which they are."""
    assert "None of its cases is in this run" in section(scenario_page(Grid(results())), "siamese")


@pytest.mark.xdist_group("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_question_has_an_address(open_page: Callable[..., Page], scheme: str) -> None:
    """The address of a question shows the page, its entry of the menu marked, and scrolls to it."""
    page = open_page("#asked-frozen", color_scheme=scheme)
    expect(page.locator("#asked-frozen")).to_be_in_viewport()
    expect(page.locator("nav a[aria-current=page]")).to_have_text("Scenarios")


@pytest.mark.xdist_group("chromium")
def test_the_list_leads_to_each_question(open_page: Callable[..., Page]) -> None:
    """Clicking a question in the list goes to it, and back returns to the list."""
    page = open_page("#scenarios")
    page.get_by_role("link", name="How do I really freeze it?").click()
    expect(page.locator("#asked-frozen")).to_be_in_viewport()
    page.go_back()
    expect(page.locator("#scenarios-title")).to_be_visible()


def test_the_sample_has_the_page(sample: ModuleType) -> None:
    """Results without any scenario have the page too, every question on it."""
    page = scenario_page(Grid(sample.sample_results()))
    assert len(topics()) == page.count('class="topic"')
