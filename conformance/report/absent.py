"""What is not tested: missing implementations, unsupported cases, a filtered or partial run."""

from __future__ import annotations

from conformance.report.grid import Grid, telling
from conformance.report.markup import Markup, element, join
from conformance.report.wording import count, label
from conformance.report.words import link, moment

__all__ = ["not_tested"]


def not_tested(grid: Grid) -> Markup:
    """Return the lists of what this report says nothing about, each with its reason."""
    return join((_not_installed(grid), _unsupported(grid), _unreached(grid), _runs(grid)))


def _not_installed(grid: Grid) -> Markup:
    missing = grid.results.run.not_installed
    if not missing:
        return element("p", "Every implementation that was asked for could be run.")
    rows = [element("tr", element("th", name, scope="row"), element("td", _why(why))) for name, why in missing.items()]
    head = element("tr", (element("th", text, scope="col") for text in ("Implementation", "Why not")))
    return join((element("h2", "Not run"), _table(head, rows, "Not run")))


def _why(reason: str) -> Markup:
    """Return the reason; of what is merely not installed it is the command that installs it."""
    if reason.startswith("pip install "):
        return join(("not installed: ", element("code", reason)))
    return join((reason,))


def _unsupported(grid: Grid) -> Markup:
    """Return what is lacked; versions of an implementation that lack the same share a line."""
    lacking: dict[tuple[str, str], dict[int, set[int]]] = {}
    implementations = grid.results.run.implementations
    for (case, column), cell in grid.cells.items():
        if cell.verdict == "unsupported":
            row = telling(cell)
            why = cell.explanation or (row and (row.explanation or row.message)) or "no reason given"
            columns = lacking.setdefault((implementations[column].name, why), {})
            columns.setdefault(column, set()).add(case)
    if not lacking:
        return element("p", "No implementation lacks a feature that a case needs.")
    rows = [
        element("tr", element("th", name, " ", element("span", _versions(grid, list(columns)), class_="version"),
                              scope="row"),
                element("td", why),
                element("td", element("a", count(len(set().union(*columns.values())), "case"),
                                      href=link(v="unsupported", i="~".join(str(at) for at in sorted(columns)))),
                        class_="number"))
        for (name, why), columns in sorted(lacking.items())
    ]  # fmt: skip
    head = element("tr", (element("th", text, scope="col") for text in ("Implementation", "What it lacks", "Cases")))
    return join((element("h2", "Unsupported"), _table(head, rows, "Unsupported")))


def _versions(grid: Grid, columns: list[int]) -> str:
    implementations = grid.results.run.implementations
    labels = [label(implementations[column]) for column in sorted(columns)]
    return ", ".join(text.partition(" ")[2] for text in labels)


def _unreached(grid: Grid) -> Markup:
    results = grid.results
    counts = [0] * grid.shape[1]
    for _, column in grid.cells:
        counts[column] += 1
    rows = [
        element("tr", element("th", label(row), scope="row"),
                element("td", f"{grid.shape[0] - number:,} of {count(grid.shape[0], 'case')}", class_="number"))
        for row, number in zip(results.run.implementations, counts, strict=True) if number < grid.shape[0]
    ]  # fmt: skip
    parts = [] if not results.run.selection else [
        element("p", "Only a part of the corpus was asked for: ", element("code", results.run.selection))
    ]  # fmt: skip
    if rows:
        head = element("tr", element("th", "Implementation", scope="col"), element("th", "Not reached", scope="col"))
        parts += [element("h2", "Not reached"), _table(head, rows, "Not reached")]
    return join(parts)


def _runs(grid: Grid) -> Markup:
    """Return the runs that a merged report is made of."""
    runs = grid.results.run.runs
    if not runs:
        return Markup("")
    titles = ("Started", "Suite", "Corpus", "Implementations", "Cells", "Notes")
    rows = [
        element("tr", (element("td", text) for text in (
            moment(part.started), part.suite, part.cases_digest[:12], ", ".join(part.implementations),
            f"{part.cells:,}", "; ".join(note for note in (
                "" if part.complete else "partial", part.selection and f"filtered: {part.selection}",
                part.note) if note),
        )))
        for part in runs
    ]  # fmt: skip
    head = element("tr", (element("th", text, scope="col") for text in titles))
    return join((element("h2", "The runs merged here"), _table(head, rows, "Runs")))


def _table(head: Markup, rows: list[Markup], name: str) -> Markup:
    table = element("table", element("thead", head), element("tbody", rows), class_="plain")
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=name)
