"""Two runs compared: separate numbers and lists for what was added, removed, changed, regressed and mended."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.report.markup import Markup, element, join
from conformance.report.wording import count
from conformance.report.words import link, moment, plain_table, verdict_chip
from conformance.results.diff import Change, Difference, diff
from conformance.results.read import Results

__all__ = ["compare_page"]

#: So many changes of a kind are listed.
MOST = 300
#: A list of more than so many is folded.
UNFOLDED = 40
_LISTS = {
    "regressed": "fail now, and did not",
    "mended": "failed, and do not now",
    "changed": "have another verdict, or the same for another reason; failing or not as before",
    "added": "are new: the earlier run lacks them",
    "removed": "are gone: the later run lacks them",
}


def compare_page(new: Results, old: Results | None) -> Markup:
    """Return the comparison with an earlier run, or how to ask for one."""
    if old is None:
        how = element("code", "conformance report NEW --against OLD")
        return element("p", "This report was made of one run alone. ", how, " makes one that says here what changed.")
    found = diff(old, new)
    return join((_runs(old, new), _numbers(found), _meaning(found), *(_list(found, name, new) for name in _LISTS)))


def _runs(old: Results, new: Results) -> Markup:
    rows = [(which, *_told(run)) for which, run in (("Earlier", old), ("Later, shown in this report", new))]
    return plain_table("The runs compared", ("Run", "Started", "Suite", "Corpus", "Implementations", "Cells"), rows)


def _told(results: Results) -> Iterator[str]:
    run = results.run
    yield moment(run.started)
    yield run.suite
    yield run.cases_digest[:12]
    yield ", ".join(row.id for row in run.implementations)
    yield f"{len(results.cells):,}" + ("" if results.complete else ", partial")


def _numbers(found: Difference) -> Markup:
    numbers = [_number(name, len(getattr(found, name))) for name in _LISTS]
    rest = element("li", element("strong", f"{found.unchanged:,}"), " unchanged")
    return join((element("h2", "Cells"), element("ul", numbers, rest, class_="numbers-list")))


def _number(name: str, number: int) -> Markup:
    where = element("a", element("strong", f"{number:,}"), f" {name}", href=f"#compare-{name}")
    return element("li", where, " ", element("span", _LISTS[name], class_="tally"))


def _meaning(found: Difference) -> Markup:
    """Return what changed its meaning: cells of these cannot be compared like for like."""
    parts = []
    if found.meanings:
        rows = [(one.implementation, one.choice.replace("_", " "), f"{one.old_version}: {one.old}",
                 f"{one.new_version}: {one.new}", "declared" if one.declared else f"seen in {count(one.cells, 'cell')}")
                for one in found.meanings]  # fmt: skip
        parts += [
            element("h2", "Another choice is made"),
            element("p", "These columns choose otherwise than before: the same verdict means something else."),
            plain_table("Choices", ("Implementation", "Choice", "Before", "Now", "How it is known"), rows),
        ]
    if found.questions:
        parts += [
            element("h2", "Other questions under the same id"),
            element("p", f"The text of {count(len(found.questions), 'case')} changed."),
            element("details", element("summary", "Which"),
                    element("ul", (element("li", element("code", case)) for case in found.questions[:MOST]))),
        ]
    return join(parts)


def _list(found: Difference, name: str, new: Results) -> Markup:
    changes: tuple[Change, ...] = getattr(found, name)
    heading = element("h2", name.capitalize(), " ", element("span", count(len(changes), "cell"), class_="tally"),
                      id=f"compare-{name}", tabindex="-1")  # fmt: skip
    if not changes:
        return join((heading, element("p", "None.", class_="nil")))
    ids = {
        (f"{row.name}:{row.execution}:{row.device}", row.id.partition("@")[2].partition(":")[0]): row.id
        for row in new.run.implementations
    }
    rows = [_row(change, ids) for change in changes[:MOST]]
    more = len(changes) - MOST
    note = element("p", f"{more:,} more: conformance diff lists all.") if more > 0 else ""
    table = plain_table(name.capitalize(), ("Case", "Implementation", "Versions", "Before", "Now", "What"), rows)
    if len(changes) > UNFOLDED:
        table = element("details", element("summary", f"Show {count(len(rows), 'cell')}"), table)
    return join((heading, table, note))


def _row(change: Change, ids: dict[tuple[str, str], str]) -> tuple[str | Markup, ...]:
    own = ids.get((change.implementation, change.new_version))
    case = element("a", change.case, href=link(case=change.case, impl=own)) if own and change.new else change.case
    versions = " → ".join(dict.fromkeys(one for one in (change.old_version, change.new_version) if one))
    return case, change.implementation, versions, _verdict(change.old), _verdict(change.new), change.detail


def _verdict(verdict: str | None) -> Markup:
    return verdict_chip(verdict) if verdict else element("span", "absent", class_="nil")
