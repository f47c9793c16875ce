"""What the definition leaves open: for each case, who does what."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.wording import label
from conformance.report.words import link

__all__ = ["OpenCase", "gather", "open_page"]


@dataclass(frozen=True)
class OpenCase:
    """A question without a right answer, put with several parameters that were answered alike.

    ``groups`` holds, for each observation, the positions of the implementations that gave it.
    """

    path: str
    fact: str
    cases: tuple[int, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]


def gather(grid: Grid) -> list[OpenCase]:
    """Return the open cases in the order of the corpus; parameters that were answered alike are one."""
    observed: dict[int, dict[str, list[int]]] = {}
    for (case, column), cell in sorted(grid.cells.items()):
        told = "; ".join(_told(row.name, row.open) for row in cell.quantities if row.verdict == "open" and row.open)
        if cell.verdict == "open":
            observed.setdefault(case, {}).setdefault(told or "not described", []).append(column)
    alike: dict[tuple[object, ...], list[int]] = {}
    for case, groups in observed.items():
        signature = tuple((told, tuple(columns)) for told, columns in groups.items())
        alike.setdefault((_path(grid, case), signature), []).append(case)
    rows = grid.results.run.cases
    return [
        OpenCase(
            path=_path(grid, cases[0]), fact=rows[cases[0]].fact, cases=tuple(cases),
            groups=tuple((told, tuple(columns)) for told, columns in observed[cases[0]].items()),
        )
        for cases in alike.values()
    ]  # fmt: skip


def _told(name: str, group: str | None) -> str:
    return group or "" if name == "outcome" else f"{name}: {group}"


def _path(grid: Grid, case: int) -> str:
    return grid.results.run.cases[case].id.partition("[")[0]


def open_page(grid: Grid) -> Markup:
    """Return the questions, under each who did what; all of the same group share a letter."""
    found = gather(grid)
    if not found:
        return element("p", "No case of this run is open, or none was answered.")
    parting = [one for one in found if len(one.groups) > 1]
    alike = [one for one in found if len(one.groups) == 1]
    return join((
        element("h2", "They part ", element("span", f"on {len(parting)} of {len(found)}", class_="tally")),
        element("ul", (_item(one, grid) for one in parting), class_="findings"),
        element("h2", "All do the same ", element("span", f"on {len(alike)} of {len(found)}", class_="tally")),
        element("ul", (_item(one, grid) for one in alike), class_="findings"),
    ))  # fmt: skip


def _item(one: OpenCase, grid: Grid) -> Markup:
    ids = [grid.results.run.cases[case].id for case in one.cases]
    parameters = "; ".join(identifier.partition("[")[2].rstrip("]").replace(",", ", ") for identifier in ids)
    where = element("a", one.path, href=link(q=ids[0] if len(ids) == 1 else one.path, v="open"))
    head = element("p", element("strong", one.fact), " ", where, " ", element("span", parameters, class_="tally"))
    return element("li", head, element("ul", (_group(at, *group, grid) for at, group in enumerate(one.groups)),
                                       class_="groups"))  # fmt: skip


def _group(at: int, told: str, columns: tuple[int, ...], grid: Grid) -> Markup:
    rows = grid.results.run.implementations
    letter = element("span", "ABCDEFGH"[at % 8], class_="letter", aria_hidden="true")
    who = ", ".join(label(rows[column]) for column in columns)
    return element("li", element("span", letter, told, class_=f"choice g{at % 6}"), " ", who)
