"""The questions that people ask: each with a short answer, the numbers of this run, and who does what."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.corpus.select import matches
from conformance.report.convergence_figure import convergence_figures
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.wording import VERDICTS, label
from conformance.report.words import link, plain_table, verdict_chip
from conformance.results.rows import ImplementationRow
from conformance.topics.table import STATE_IS_A_VALUE, Topic, topics, value_of

__all__ = ["scenario_page"]


def scenario_page(grid: Grid) -> Markup:
    """Return a list of the questions, then each with its answer and what this run has for it."""
    entries = (element("li", element("a", topic.question, href=f"#asked-{topic.name}")) for topic in topics())
    return join((element("ol", entries, class_="asked"), *(_section(topic, grid) for topic in topics())))


def _section(topic: Topic, grid: Grid) -> Markup:
    source = element("p", "Asked of ", topic.source, class_="nil") if topic.source else ""
    figures = convergence_figures(grid) if topic.name == "convergence" else ""
    head = element("h2", topic.question, id=f"asked-{topic.name}")
    return element(
        "section", head, source, element("p", topic.answer, class_="answer"), figures,
        _numbers(topic, grid), _natural(grid) if topic.table == "siamese" else "", _cases(topic, grid),
        class_="topic", aria_labelledby=f"asked-{topic.name}",
    )  # fmt: skip


def _numbers(topic: Topic, grid: Grid) -> Markup:
    """Return a table of what each implementation has answered; those that gave the same numbers share a row."""
    alike: dict[tuple[str, ...], list[ImplementationRow]] = {}
    for column, row in enumerate(grid.results.run.implementations):
        told = tuple(_told(topic, grid, column, row))
        if any(told):
            alike.setdefault(told, []).append(row)
    if not alike:
        return Markup("")
    heads = ("Implementation", *([topic.choice.replace("_", " ")] if topic.choice else []),
             *(figure.label for figure in topic.numbers))  # fmt: skip
    rows = [
        (", ".join(label(row) for row in rows), *(one or element("span", "–", title="not answered") for one in told))
        for told, rows in alike.items()
    ]
    return plain_table(f"Numbers: {topic.question}", heads, rows, class_="plain numbered")


def _told(topic: Topic, grid: Grid, column: int, row: ImplementationRow) -> Iterator[str]:
    if topic.choice:
        option = row.dialect.get(topic.choice, "")
        yield "" if option == "undeclared" else option
    places = {case.id: position for position, case in enumerate(grid.results.run.cases)}
    for figure in topic.numbers:
        cell = grid.cells.get((places.get(figure.case, -1), column))
        value = None if cell is None else value_of(figure, cell)
        yield "" if value is None else _short(value)


def _short(value: float | str) -> str:
    """Return a number as people read it: four significant digits, powers of ten where it is far from one."""
    return value if isinstance(value, str) else f"{value:.4g}"


def _natural(grid: Grid) -> Markup:
    """Return which of the states comes of itself, by how an implementation holds its state."""
    kinds: dict[bool, list[str]] = {False: [], True: []}
    for row in grid.results.run.implementations:
        kinds[row.name in STATE_IS_A_VALUE].append(label(row))
    called = {
        False: ("a call changes the layer", "A then B, B then A, all rows; any other by saving and loading the state"),
        True: ("a call returns the new state", "all of them: each is an assignment"),
    }
    rows = [(", ".join(names), *called[kind]) for kind, names in kinds.items() if names]
    return plain_table("Which states come of themselves", ("Implementation", "The state", "Natural"), rows)


def _cases(topic: Topic, grid: Grid) -> Markup:
    """Return the cases behind the answer, each with its fact and a tally of verdicts."""
    items = []
    for pattern in topic.cases:
        found = [at for at, case in enumerate(grid.results.run.cases) if matches(pattern, case.id)]
        for path in dict.fromkeys(grid.results.run.cases[at].id.partition("[")[0] for at in found):
            own = [at for at in found if grid.results.run.cases[at].id.partition("[")[0] == path]
            fact = grid.results.run.cases[own[0]].fact
            items.append(element("li", element("a", path, href=link(q=path)), " ", fact, " ", _tally(own, grid)))
    if not items:
        return element("p", "None of its cases is in this run: ", element("code", ", ".join(topic.cases)), class_="nil")
    return element("details", element("summary", f"The cases behind it ({len(items)})"), element("ul", items))


def _tally(cases: list[int], grid: Grid) -> Markup:
    counts = {
        words.name: sum(
            cell.verdict == words.name for at in cases for column in range(grid.shape[1])
            if (cell := grid.cells.get((at, column))) is not None
        )
        for words in VERDICTS
    }  # fmt: skip
    return join(
        element("span", verdict_chip(name), f" {count} ", class_="tally") for name, count in counts.items() if count
    )
