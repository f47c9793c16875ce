"""The first page: what was run, what may not be trusted, where the implementations part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlencode

from conformance.report.dialects import SILENT, DialectTable
from conformance.report.findings import OUTCOME, Finding, Party
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.wording import PROVENANCE, VERDICTS, count, duration, ratio, version
from conformance.results.rows import FAILING, ImplementationRow
from conformance.results.summary import SummaryRow, summarise

__all__ = [
    "alarms",
    "counts_table",
    "dialect_section",
    "facts",
    "findings_list",
    "lead",
    "link",
    "moment",
    "verdict_chip",
]

#: So many characters of an explanation stand on the first page; the cell's panel has all of it.
TOLD_LIMIT = 400

_NAMES = [words.name for words in VERDICTS]
_GLYPHS: dict[str, str] = {words.name: words.glyph for words in VERDICTS}
_COUNTED = {"differs": "differ"}
_VERBS = {
    "differs": ("differs from the reference", "differ from the reference"),
    "changed": ("is not as declared or recorded", "are not as declared or recorded"),
    "deviates": ("deviates from the reference", "deviate from the reference"),
    "crashed": ("ended its process or ran past the time limit",) * 2,
    "void": ("could not be judged, by a fault of the suite",) * 2,
}


def link(**state: str | int) -> str:
    """Return the fragment that opens the matrix in that state."""
    return "#matrix?" + urlencode(state)


def verdict_chip(verdict: str) -> Markup:
    """Return sign and word of a verdict."""
    sign = element("span", _GLYPHS[verdict], class_="glyph", aria_hidden="true")
    return element("span", sign, " ", verdict, class_=f"verdict {verdict}")


def lead(grid: Grid) -> Markup:
    """Return the whole report in one sentence."""
    numbers = Counter(cell.verdict for cell in grid.results.cells)
    total = count(len(grid.results.cells), "cell")
    failing = [
        element("a", f"{numbers[verdict]:,} {_COUNTED.get(verdict, verdict)}", href=link(v=verdict))
        for verdict in _NAMES if verdict in FAILING and numbers[verdict]
    ]  # fmt: skip
    fine = numbers["agrees"] + numbers["rough"]
    parts = [f"Of {total}, {fine:,} agree within rounding"]
    if numbers["deviates"]:
        parts += [
            ", ",
            element("a", f"{numbers['deviates']:,} deviate as declared or recorded", href=link(v="deviates")),
        ]
    if not failing:
        return element("p", parts, "; none fails.", class_="lead")
    listed = [part for one in failing for part in (", ", one)][1:]
    return element("p", parts, "; ", f"{sum(numbers[v] for v in FAILING):,} fail: ", listed, ".", class_="lead")


def facts(grid: Grid) -> Markup:
    """Return what was run, as pairs of term and description."""
    run, results = grid.results.run, grid.results
    rows, columns = grid.shape
    machine = " · ".join(_machine(*entry) for entry in run.machine.items()) or "not stated"
    cells = f"{len(results.cells):,} of {results.expected_cells:,} cells"
    pairs = [
        ("Cases", f"{rows:,} on {count(columns, 'implementation')}: {cells}"),
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


def moment(started: str) -> str:
    """Return an ISO 8601 moment for reading; anything else as it is."""
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:[\d.]+)?(Z|\+00:00)$", r"\1 \2 UTC", started)


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
    others = ", ".join(f"{name} {value}" for name, value in list(row.versions.items())[1:])
    detail = " · ".join(part for part in (f"{row.execution}, {row.device}", others) if part)
    return element(
        "th",
        element("span", row.name, " ", element("span", version(row), class_="version"), class_="name"),
        element("span", provenance_badge(row.provenance), " ", detail, class_="detail"),
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
    if option in SILENT:
        return element("td", element("span", option, class_="nil"))
    if unanimous:
        return element("td", element("span", option, class_="choice all"))
    letter = element("span", "ABCDEFGH"[group % 8], class_="letter", aria_hidden="true")
    return element("td", element("span", letter, option, class_=f"choice g{group % 6}"))


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
    did = (_subject(finding), f" {_verb(finding)}")
    cells = sum(len(party.cases) for party in finding.parties)
    show = element("a", f"Show {count(cells, 'cell')}", href=link(finding=finding.key))
    if len(finding.parties) == 1:
        party = finding.parties[0]
        head = join((element("strong", party.label), ": ", did, _extent(party, grid), _because(finding), ". ", show))
        who = Markup("")
    else:
        head = join((did, _because(finding), ". ", show))
        lines = (element("li", element("strong", one.label), _extent(one, grid)) for one in finding.parties)
        who = element("ul", lines, class_="parties")
    return element("li", element("p", head, class_="sentence"), who, _told(finding), id=f"finding-{finding.key}")


def _subject(finding: Finding) -> Markup:
    if finding.quantities == (OUTCOME,):
        return Markup("the call")
    names = [element("strong", name) for name in finding.quantities]
    return join((names[0], (join((", ", name)) for name in names[1:])))


def _verb(finding: Finding) -> str:
    one, many = _VERBS[finding.verdict]
    verb = one if len(finding.quantities) == 1 else many
    if finding.verdict != "deviates":
        return verb
    return verb + (" as recorded" if finding.cause else " as the dialect declares")


def _because(finding: Finding) -> str:
    if not finding.cause:
        return "; no known variant explains it" if finding.verdict == "differs" else ""
    cause = finding.cause.rstrip(" .:;")
    named = finding.verdict in ("differs", "changed") and finding.quantities != (OUTCOME,)
    return f"; explained by {cause}" if named else f": {cause}"


def _told(finding: Finding) -> Markup:
    """Return what the cell furthest off tells, where that is more than the sentence says."""
    detail = finding.explanation.strip()
    declared = finding.verdict == "deviates" and not finding.cause
    if not detail or detail == finding.cause or declared:
        return Markup("")
    return element("p", detail[:TOLD_LIMIT] + ("…" if len(detail) > TOLD_LIMIT else ""), class_="told")


def _extent(party: Party, grid: Grid) -> Markup:
    """Return in how many cases, and how far off at worst, with a link to that cell."""
    case = grid.results.run.cases[party.worst_case].id
    implementation = grid.results.run.implementations[party.implementation].id
    numbers = f" in {len(party.cases):,} of {count(party.out_of, 'case')}"
    if party.worst is None or party.worst == 0:
        return join([numbers])
    far = f"not finite ({party.worst})" if isinstance(party.worst, str) else f"{ratio(party.worst)} times the bound"
    return join((numbers, ", up to ", element("a", far, href=link(case=case, impl=implementation))))
