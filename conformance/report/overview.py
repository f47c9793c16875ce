"""The first page: what was run, what may not be trusted, where the implementations part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.wording import VERDICTS, count, duration, version
from conformance.report.words import link, moment, provenance_badge, verdict_chip
from conformance.results.rows import FAILING, ImplementationRow
from conformance.results.summary import SummaryRow, summarise

__all__ = ["alarms", "counts_table", "facts", "lead"]

_NAMES = [words.name for words in VERDICTS]
_COUNTED = {"differs": "differ"}


def lead(grid: Grid) -> Markup:
    """Return the whole report in one sentence; what was not executed anywhere is counted apart."""
    modelled = {row.id for row in grid.results.run.implementations if row.provenance == "modelled"}
    answered = [cell for cell in grid.results.cells if cell.implementation not in modelled]
    numbers = Counter(cell.verdict for cell in answered)
    total = count(len(answered), "cell")
    failing = [
        element("a", f"{numbers[verdict]:,} {_COUNTED.get(verdict, verdict)}", href=link(v=verdict))
        for verdict in _NAMES if verdict in FAILING and numbers[verdict]
    ]  # fmt: skip
    fine = numbers["agrees"] + numbers["rough"]
    parts: list[str] = [f"Of {total}, {fine:,} agree within rounding"]
    if numbers["deviates"]:
        parts += [
            ", ",
            element("a", f"{numbers['deviates']:,} deviate as declared or recorded", href=link(v="deviates")),
        ]
    if numbers["open"]:
        parts += [", ", element("a", f"{numbers['open']:,} are open", href="#open"), " (no answer is right)"]
    if numbers["unsupported"]:
        parts += [", ", element("a", f"{numbers['unsupported']:,} are unsupported", href="#absent")]
    aside = ""
    if modelled:
        predicted = len(grid.results.cells) - len(answered)
        aside = f" {count(predicted, 'cell')} of {count(len(modelled), 'column')} more are modelled, not executed."
    if not failing:
        return element("p", parts, "; none fails.", aside, class_="lead")
    listed = [part for one in failing for part in (", ", one)][1:]
    number = sum(numbers[verdict] for verdict in FAILING)
    return element("p", parts, f"; {number:,} fail{'s' if number == 1 else ''}: ", listed, ".", aside, class_="lead")


def facts(grid: Grid) -> Markup:
    """Return what was run, as pairs of term and description."""
    run, results = grid.results.run, grid.results
    rows, columns = grid.shape
    machine = " · ".join(_machine(*entry) for entry in run.machine.items()) or "not stated"
    cells = f"{len(results.cells):,} of {results.expected_cells:,} cells"
    modelled = sum(row.provenance == "modelled" for row in run.implementations)
    aside = f", {modelled} of them modelled" if modelled else ""
    pairs = [
        ("Cases", f"{rows:,} on {count(columns, 'implementation')}{aside}: {cells}"),
        ("Suite", f"{run.suite}, corpus {run.cases_digest[:12] or 'unnamed'}"),
        ("Date", moment(run.started)),
        ("Duration", duration(results.seconds) if results.seconds else "not known"),
        ("Machine", machine),
    ]  # fmt: skip
    if run.runs:
        pairs.append(("Merged from", count(len(run.runs), "run")))
    return element(
        "dl", (element("div", element("dt", term), element("dd", text)) for term, text in pairs), class_="facts"
    )


def _machine(entry: str, value: str) -> str:
    return value if entry in ("system", "processor") else f"{entry} {value}"


def alarms(grid: Grid) -> Markup:
    """Return the bars for what a reader must know before trusting anything below."""
    return join(element("p", element("strong", head), " ", text, class_="alarm", role="alert")
                for head, text in _alarms(grid))  # fmt: skip


def _alarms(grid: Grid) -> Iterator[tuple[str, str]]:
    results, run = grid.results, grid.results.run
    if grid.canary_failed:
        yield "The canary failed.", "The suite's own column differs from its oracle: trust nothing on this page."
    missing = results.expected_cells - len(results.cells)
    if not results.complete:
        yield "Partial.", f"The run did not finish: {missing:,} of {results.expected_cells:,} cells are missing."
    if run.selection:
        yield "Filtered.", f"Only a part of the corpus was asked for: {run.selection}"
    unlike = sum(bool(part.note) for part in run.runs)
    if unlike:
        which = f"{unlike} of {len(run.runs)} merged runs"
        yield "Different corpora.", f"{which} asked some cases in another text than is shown: see Not tested."


def counts_table(grid: Grid) -> Markup:
    """Return how many cells of each implementation have each verdict, denominators included."""
    summary = summarise(grid.results)
    used = [words for words in VERDICTS if any(row.verdicts[words.name] for row in summary.rows)]
    head = element("tr", element("th", "Implementation", scope="col"),
                   (element("th", verdict_chip(words.name), scope="col", class_="number", title=words.meaning)
                    for words in used),
                   element("th", "Cells", element("br"), "of cases", scope="col", class_="number"))  # fmt: skip
    lines = [
        _count_line(position, row, summary.rows[position], [words.name for words in used])
        for position, row in enumerate(grid.results.run.implementations)
    ]
    return element("div", element("table", element("thead", head), element("tbody", lines), class_="counts"),
                   class_="scroll", tabindex="0", role="region", aria_label="Verdicts by implementation")  # fmt: skip


def _count_line(position: int, row: ImplementationRow, numbers: SummaryRow, used: list[str]) -> Markup:
    cells = []
    for verdict in used:
        number = numbers.verdicts[verdict]
        shown: str = (
            element("a", f"{number:,}", href=link(v=verdict, i=position))
            if number
            else element("span", "0", class_="nil")
        )
        cells.append(element("td", shown, class_="number"))
    total = f"{numbers.cells:,} of {numbers.cases:,}"
    return element("tr", implementation_head(row), cells, element("td", total, class_="number"), class_=row.provenance)


def implementation_head(row: ImplementationRow) -> Markup:
    """Return the row header of an implementation: name, versions, mode and provenance."""
    pinned = {} if row.device == "cpu" else row.settings
    others = ", ".join(f"{name} {value}" for name, value in [*list(row.versions.items())[1:], *pinned.items()])
    detail = " · ".join(part for part in (f"{row.execution}, {row.device}", others) if part)
    return element(
        "th",
        element("span", row.name, " ", element("span", version(row), class_="version"), class_="name"),
        element("span", provenance_badge(row.provenance), " ", detail, class_="detail"),
        scope="row",
    )
