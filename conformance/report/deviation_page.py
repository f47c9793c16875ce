"""The recorded deviations: who, which variant, why, how it was proved, where it is reported, where it was seen."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.report.findings import Finding
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join, outside
from conformance.report.wording import count
from conformance.report.words import link, verdict_chip
from conformance.results.rows import DeviationRow

__all__ = ["deviation_page"]


def deviation_page(findings: list[Finding], grid: Grid) -> Markup:
    """Return the records about the implementations in this report, those that were seen first."""
    names = {row.name for row in grid.results.run.implementations}
    records = {name: row for name, row in grid.results.run.deviations.items() if row.implementation in names}
    if not records:
        return element("p", "This run was held to no record about its implementations.")
    seen = {name: [finding for finding in findings if name in finding.record.split(" + ")] for name in records}
    ordered = sorted(records, key=lambda name: not seen[name])
    return join(_record(name, records[name], seen[name], grid) for name in ordered)


def _record(name: str, row: DeviationRow, findings: list[Finding], grid: Grid) -> Markup:
    rows = [
        ("Implementation", element("strong", row.implementation), f" {row.versions or 'every version'}"),
        ("Why", row.reason),
        ("Raises", row.raises) if row.raises else ("Variant", _variants(row, grid)),
        ("Proved", row.proof),
        ("Upstream", outside(row.upstream, row.upstream) if row.upstream else "not reported"),
        ("Seen here", join(_seen(findings))),
    ]
    pairs = (element("div", element("dt", term), element("dd", parts)) for term, *parts in rows)
    return element("section", element("h2", name), element("dl", pairs, class_="legend"), class_="record")


def _variants(row: DeviationRow, grid: Grid) -> str:
    known = grid.results.run.variants
    return " ".join(f"{name}: {known[name]}" if name in known else f"{name}." for name in row.variants)


def _seen(findings: list[Finding]) -> Iterator[Markup | str]:
    if not findings:
        yield "in no cell of this report"
    for at, finding in enumerate(findings):
        cells = sum(len(party.cases) for party in finding.parties)
        yield join(("; " if at else "", verdict_chip(finding.verdict), " in "))
        yield element("a", count(cells, "cell"), href=link(finding=finding.key))
