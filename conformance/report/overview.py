"""The first page: what was run, what may not be trusted, where the implementations part."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from conformance.report.dialects import UNSTATED, DialectTable
from conformance.report.findings import Finding, Party
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.wording import PROVENANCE, VERDICTS, count, duration, ratio, version
from conformance.results.rows import ImplementationRow
from conformance.results.summary import SummaryRow, summarise

__all__ = ["alarms", "counts_table", "dialect_section", "facts", "findings_list", "link", "verdict_chip"]

_GLYPHS: dict[str, str] = {words.name: words.glyph for words in VERDICTS}
_PLAIN_VERBS = {
    "differs": "differs from the reference",
    "changed": "is not as declared or recorded",
    "deviates": "deviates from the reference exactly as declared",
    "crashed": "ended its process or ran past the time limit",
    "void": "could not be judged, by a fault of the suite",
}


def link(**state: str | int) -> str:
    """Return the fragment that opens the matrix in that state."""
    return "#matrix?" + urlencode(state)


def verdict_chip(verdict: str) -> Markup:
    """Return sign and word of a verdict."""
    sign = element("span", _GLYPHS[verdict], class_="glyph", aria_hidden="true")
    return element("span", sign, " ", verdict, class_=f"verdict {verdict}")


def facts(grid: Grid) -> Markup:
    """Return what was run, as pairs of term and description."""
    run, results = grid.results.run, grid.results
    rows, columns = grid.shape
    machine = " · ".join(value for value in run.machine.values() if value) or "not stated"
    pairs = [
        ("Cases", f"{rows:,} on {count(columns, 'implementation')}: {len(results.cells):,} of "
                  f"{results.expected_cells:,} cells"),
        ("Suite", f"{run.suite}, corpus {run.cases_digest[:12] or 'unnamed'}"),
        ("Date", run.started.replace("T", " ").removesuffix("Z") + (" UTC" if run.started.endswith("Z") else "")),
        ("Duration", duration(results.seconds) if results.seconds else "not known"),
        ("Machine", machine),
    ]  # fmt: skip
    if run.runs:
        pairs.append(("Merged from", count(len(run.runs), "run")))
    return element(
        "dl", (element("div", element("dt", term), element("dd", text)) for term, text in pairs), class_="facts"
    )


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
    notes = [part.note for part in run.runs if part.note]
    if notes:
        yield "Different corpora.", f"The merged runs did not ask the same cases: {'; '.join(dict.fromkeys(notes))}."


def counts_table(grid: Grid) -> Markup:
    """Return how many cells of each implementation have each verdict, denominators included."""
    summary = summarise(grid.results)
    used = [words for words in VERDICTS if any(row.verdicts[words.name] for row in summary.rows)]
    head = element("tr", element("th", "Implementation", scope="col"),
                   (element("th", verdict_chip(words.name), scope="col", class_="number", title=words.meaning)
                    for words in used),
                   element("th", "cells of cases", scope="col", class_="number"))  # fmt: skip
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
            element("a", f"{number:,}", href=link(v=verdict, i=position)) if number else element("span", "0", class_="nil")
        )
        cells.append(element("td", shown, class_="number"))
    total = f"{numbers.cells:,} of {numbers.cases:,}"
    return element("tr", implementation_head(row), cells, element("td", total, class_="number"), class_=row.provenance)


def implementation_head(row: ImplementationRow) -> Markup:
    """Return the row header of an implementation: name, versions, mode and provenance."""
    others = ", ".join(f"{name} {value}" for name, value in list(row.versions.items())[1:])
    detail = " · ".join(part for part in (f"{row.execution}, {row.device}", others) if part)
    return element(
        "th",
        element("span", row.name, " ", element("span", version(row), class_="version"), class_="name"),
        provenance_badge(row.provenance),
        element("span", detail, class_="detail"),
        scope="row",
    )


def provenance_badge(provenance: str) -> Markup:
    """Return the word for where a column comes from."""
    return element("span", provenance, class_=f"provenance {provenance}", title=PROVENANCE[provenance])


def dialect_section(table: DialectTable) -> Markup:
    """Return choices by implementation; columns that chose alike share a colour, a letter and the word."""
    if not table.columns:
        return element("p", "No implementation states a dialect.")
    head = element("tr", element("th", "Choice", scope="col"),
                   (element("th", column.name, " ", element("span", ", ".join(column.versions), class_="version"),
                            element("span", column.mode, class_="detail") if column.mode else "",
                            provenance_badge(column.provenance) if column.provenance != "executed" else "",
                            scope="col") for column in table.columns))  # fmt: skip
    lines = [
        element("tr", element("th", row.choice.replace("_", " "), scope="row"),
                (_option(option, group, row.unanimous) for option, group in zip(row.options, row.groups, strict=True)))
        for row in table.rows
    ]  # fmt: skip
    return element("div", element("table", element("thead", head), element("tbody", lines), class_="dialects"),
                   class_="scroll", tabindex="0", role="region", aria_label="Dialects")  # fmt: skip


def _option(option: str, group: int, unanimous: bool) -> Markup:  # noqa: FBT001
    if option in (UNSTATED, "undeclared"):
        return element("td", element("span", option, class_="nil"))
    if unanimous:
        return element("td", element("span", option, class_="group all"))
    letter = element("span", "ABCDEFGH"[group % 8], class_="letter", aria_hidden="true")
    return element("td", element("span", letter, option, class_=f"group g{group % 6}"))


def findings_list(findings: list[Finding], grid: Grid) -> Markup:
    """Return the findings, one sentence each, under a heading per verdict."""
    if not findings:
        return element("p", "None: every cell that could be judged agrees, or is off by plain rounding only.")
    sections = []
    for verdict in dict.fromkeys(finding.verdict for finding in findings):
        own = [finding for finding in findings if finding.verdict == verdict]
        heading = element("h3", verdict_chip(verdict), " ", element("span", count(len(own), "finding"), class_="tally"))
        sections.append(join((heading, element("ul", (_item(one, grid) for one in own), class_="findings"))))
    return join(sections)


def _item(finding: Finding, grid: Grid) -> Markup:
    why = f"explained by {finding.cause}" if finding.cause and finding.verdict == "differs" else finding.cause
    if finding.verdict == "differs" and not finding.cause:
        why = "no known variant explains it"
    href = link(finding=finding.key)
    cells = sum(len(party.cases) for party in finding.parties)
    sentence = element("p", element("strong", finding.quantity), f" {_PLAIN_VERBS[finding.verdict]}",
                       f": {why}" if why else "", ". ",
                       element("a", f"Show {count(cells, 'cell')}", href=href), class_="sentence")  # fmt: skip
    who = element("ul", (element("li", _party(party, grid)) for party in finding.parties), class_="parties")
    detail = finding.explanation.strip()
    told = element("p", detail[:400] + ("…" if len(detail) > 400 else ""), class_="told")  # noqa: PLR2004
    return element("li", sentence, who, told if detail and detail != why else "", id=f"finding-{finding.key}")


def _party(party: Party, grid: Grid) -> Markup:
    case = grid.results.run.cases[party.worst_case].id
    implementation = grid.results.run.implementations[party.implementation].id
    worst = (
        join((", up to ", element("a", f"{ratio(party.worst)} times the bound", href=link(case=case, impl=implementation))))
        if party.worst is not None
        else ""
    )
    numbers = f" in {len(party.cases):,} of {count(party.out_of, 'case')}"
    return join((element("strong", party.label), numbers, worst))
