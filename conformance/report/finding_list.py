"""Findings in sentences: who, what, by how much, in how many cases, since when, and where it is reported."""

from __future__ import annotations

from conformance.report.findings import OUTCOME, Finding, Party
from conformance.report.grid import Grid
from conformance.report.history import families, since
from conformance.report.markup import Markup, element, join, outside
from conformance.report.wording import count, ratio
from conformance.report.words import link, verdict_chip
from conformance.results.rows import DeviationRow

__all__ = ["MOST", "finding_sections"]

#: So many characters of an explanation stand in the list; the cell's panel has all of it.
TOLD_LIMIT = 400
#: So many findings of one verdict are listed.
MOST = 50
#: So many quantities are named.
_NAMED = 4

_VERBS = {
    "differs": ("differs from the reference", "differ from the reference"),
    "changed": ("is not as declared or recorded", "are not as declared or recorded"),
    "deviates": ("deviates", "deviate"),
    "crashed": ("ended its process or ran past the time limit",) * 2,
    "void": ("could not be judged, by a fault of the suite",) * 2,
}
_HEADINGS = {
    ("deviates", False): ("recorded deviations", "known, pinned to a variant of the oracle, and observed exactly so"),
    ("deviates", True): ("dialects", "as declared: other choices, no fault"),
}


def finding_sections(findings: list[Finding], grid: Grid) -> Markup:
    """Return the findings, one sentence each, under a heading per verdict."""
    if not findings:
        return element("p", "None: every cell that could be judged agrees, or is off by plain rounding only.")
    sections = []
    for kind in dict.fromkeys((finding.verdict, finding.declared) for finding in findings):
        own = [finding for finding in findings if (finding.verdict, finding.declared) == kind]
        what, note = _HEADINGS.get(kind, ("", ""))
        told = f"{count(len(own), 'finding')}{f', {note}' if note else ''}"
        heading = element(
            "h3", verdict_chip(kind[0]), f" {what} " if what else " ", element("span", told, class_="tally")
        )
        more = "" if len(own) <= MOST else element("p", f"{len(own) - MOST:,} more: filter the matrix by verdict.")
        items = element("ul", (_item(one, grid) for one in own[:MOST]), class_="findings")
        sections.append(join((heading, items, more)))
    return join(sections)


def _item(finding: Finding, grid: Grid) -> Markup:
    record = grid.results.run.deviations.get(finding.record)
    did = (_subject(finding), " ", _verb(finding))
    cells = sum(len(party.cases) for party in finding.parties)
    show = element("a", f"Show {count(cells, 'cell')}", href=link(finding=finding.key))
    ends = [show] if record is None or not record.upstream else [outside(record.upstream, "Reported upstream"), show]
    tail = [part for at, end in enumerate(ends) for part in (" · " if at else " ", end)]
    if len(finding.parties) == 1:
        party = finding.parties[0]
        extent = (_extent(party, grid), _since(finding, [party], grid, record))
        head = join((element("strong", party.label), ": ", did, extent, _because(finding, grid), ".", tail))
        who = Markup("")
    else:
        head = join((element("strong", _names(finding, grid)), ": ", did, _because(finding, grid), ".", tail))
        who = element("ul", _lines(finding, grid, record), class_="parties")
    return element("li", element("p", head, class_="sentence"), who, _told(finding, record),
                   id=f"finding-{finding.key}")  # fmt: skip


def _names(finding: Finding, grid: Grid) -> str:
    rows = grid.results.run.implementations
    return ", ".join(dict.fromkeys(rows[party.implementation].name for party in finding.parties))


def _lines(finding: Finding, grid: Grid, record: DeviationRow | None) -> list[Markup]:
    """Return a line for each family of versions, told by the version that is furthest off."""
    lines = []
    for family in families(grid.results.run.implementations):
        own = [party for party in finding.parties if party.implementation in family]
        if own:
            worst = max(own, key=lambda party: (len(party.cases), party.implementation))
            extent = (_extent(worst, grid), _since(finding, own, grid, record))
            lines.append(element("li", element("strong", worst.label), *extent))
    return lines


def _since(finding: Finding, parties: list[Party], grid: Grid, record: DeviationRow | None) -> str:
    """Say since which version, as far as this file or the record tells."""
    rows = grid.results.run.implementations
    family = next(family for family in families(rows) if parties[0].implementation in family)
    cases = {case for party in finding.parties for case in party.cases}
    asked = [at for at in family if any((case, at) in grid.cells for case in cases)]
    told = since(asked, {party.implementation for party in parties}, rows)
    recorded = f"recorded for {record.versions}" if record is not None and record.versions else ""
    return "".join(f", {part}" for part in (told, recorded) if part)


def _subject(finding: Finding) -> Markup:
    if finding.quantities == (OUTCOME,):
        return Markup("the call")
    names = [element("strong", name) for name in finding.quantities[:_NAMED]]
    more = len(finding.quantities) - _NAMED
    listed = [part for name in names for part in (", ", name)][1:]
    return join((*listed, f" and {more} more" if more > 0 else ""))


def _verb(finding: Finding) -> str:
    one, many = _VERBS[finding.verdict]
    return one if len(finding.quantities) == 1 else many


def _because(finding: Finding, grid: Grid) -> str:
    if finding.verdict == "differs" and not (finding.variant or finding.error or finding.record):
        return "; no known variant explains it"
    if finding.record:
        return f": {finding.record}"
    if finding.error:
        return f": {finding.error.rstrip(' .:;')}"
    if not finding.variant:
        return " as the dialect declares" if finding.declared else ""
    said = sentences(finding.variant, grid)
    return f": {finding.variant}{said}" if finding.declared else f"; explained by “{finding.variant}”{said}"


def sentences(variants: str, grid: Grid) -> str:
    """Return what variants joined by `` + `` stand for, in brackets; empty where the run does not say."""
    known = grid.results.run.variants
    said = [known[name].rstrip(".") for name in variants.split(" + ") if known.get(name)]
    return f" ({'; '.join(said)})" if said else ""


def _told(finding: Finding, record: DeviationRow | None) -> Markup:
    """Return the reason on record, or what the cell furthest off tells where that is more than the sentence says."""
    detail = record.reason if record is not None and finding.verdict == "deviates" else finding.explanation.strip()
    if not detail or detail in (finding.error, finding.record) or finding.declared:
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
