"""The dialect tables: short on the first page, with what every option says on a page of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from conformance.report.dialects import SILENT, ChoiceLine, DialectColumn, DialectTable
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join, outside
from conformance.report.wording import label
from conformance.report.words import plain_table, provenance_badge
from conformance.results.rows import ChoiceRow

__all__ = ["dialect_page", "dialect_section"]


def dialect_section(table: DialectTable, grid: Grid) -> Markup:
    """Return the choices on which columns part, and in a sentence those on which all are one."""
    if not table.columns:
        return element("p", "No implementation states a dialect.")
    parting = [row for row in table.rows if not row.unanimous]
    alike = [row for row in table.rows if row.unanimous]
    shown = _table(table, parting, grid) if parting else element("p", "They part on no choice.")
    return join((shown, _alike(alike)))


def _alike(rows: list[ChoiceLine]) -> Markup:
    stated = [(row.choice, next((option for option in row.options if option not in SILENT), "")) for row in rows]
    told = [f"{choice.replace('_', ' ')} {option}" for choice, option in stated if option]
    if not told:
        return Markup("")
    meaning = element("a", "What the options mean", href="#dialects")
    return element("p", "All that state a choice are one on ", ", ".join(told), ". ", meaning, class_="nil")


def dialect_page(table: DialectTable, grid: Grid) -> Markup:
    """Return all choices, what each option says, and where each implementation documents itself."""
    if not table.columns:
        return element("p", "No implementation states a dialect.")
    return join((_table(table, list(table.rows), grid), _options(grid), _set_up(grid), _documented(grid)))


def _table(table: DialectTable, rows: list[ChoiceLine], grid: Grid) -> Markup:
    """Return choices by implementation; columns that chose alike share a colour, a letter and the word."""
    head = element("tr", element("th", "Choice", scope="col"), (_head(column) for column in table.columns))
    lines = [
        element("tr", element("th", row.choice.replace("_", " "), scope="row"),
                (_cell(row, at, grid) for at in range(len(row.options))))
        for row in rows
    ]  # fmt: skip
    return element("div", element("table", element("thead", head), element("tbody", lines), class_="dialects"),
                   class_="scroll", tabindex="0", role="region", aria_label="Choices by implementation")  # fmt: skip


def _head(column: DialectColumn) -> Markup:
    versions = column.versions
    told = ", ".join(versions) if len(versions) < 4 else f"{versions[0]} to {versions[-1]}"
    return element("th", column.name, " ", element("span", told, class_="version"),
                   element("span", column.mode, class_="detail") if column.mode else "",
                   provenance_badge(column.provenance) if column.provenance != "executed" else "",
                   scope="col")  # fmt: skip


def _cell(row: ChoiceLine, at: int, grid: Grid) -> Markup:
    option, group = row.options[at], row.groups[at]
    known = grid.results.run.choices.get(row.choice)
    title = _said(known, option)
    if option in SILENT:
        return element("td", element("span", option, class_="nil"))
    if row.unanimous:
        return element("td", element("span", option, class_="choice all", title=title))
    letter = element("span", "ABCDEFGH"[group % 8], class_="letter", aria_hidden="true")
    return element("td", element("span", letter, option, class_=f"choice g{group % 6}", title=title))


def _said(known: ChoiceRow | None, option: str) -> str | None:
    """Return what an option says; one that varies with the layer is several, ``a / b``."""
    if known is None:
        return None
    return " / ".join(known.options.get(part, "") for part in option.split(" / ")) or None


def _options(grid: Grid) -> Markup:
    rows = [
        (choice.replace("_", " "), option, sentence, f"{known.clause} {_clause(grid, known.clause)}")
        for choice, known in grid.results.run.choices.items() for option, sentence in known.options.items() if sentence
    ]  # fmt: skip
    if not rows:
        return Markup("")
    table = plain_table("Options", ("Choice", "Option", "What it says", "Clause"), rows)
    return join((element("h2", "What the options say"), table))


def _clause(grid: Grid, number: str) -> str:
    return grid.results.run.clauses.get(number, {}).get("sentence", "")


def _set_up(grid: Grid) -> Markup:
    """Return what each column was made of: every version, and what was set for the run."""
    rows = [
        (label(row), row.title, _pairs(row.versions), _pairs(row.settings)) for row in grid.results.run.implementations
    ]
    table = plain_table("Columns", ("Column", "Called", "Versions", "Set for the run"), rows)
    return join((element("h2", "What the columns were made of"), table))


def _pairs(stated: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in stated.items())


def _documented(grid: Grid) -> Markup:
    rows = {
        row.name: outside(row.documentation, re.sub(r"^https?://", "", row.documentation))
        for row in grid.results.run.implementations if row.documentation
    }  # fmt: skip
    if not rows:
        return Markup("")
    table = plain_table("Documentation", ("Implementation", "Its batch norm is documented at"), list(rows.items()))
    return join((element("h2", "Documentation"), table))
