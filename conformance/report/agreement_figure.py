"""The agreement between implementations as a matrix of squares, like beside like."""

from __future__ import annotations

import math

from conformance.report.agreement import Agreement, cluster
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element
from conformance.report.wording import label
from conformance.report.words import plain_table

__all__ = ["agreement_matrix", "agreement_words", "percent"]

_CELL, _LEFT, _TOP = 46, 250, 12
#: So many steps of shade, the darkest for what is most alike.
_SHADES = 6


def agreement_matrix(found: Agreement, grid: Grid) -> Markup:
    """Return a square for each pair of implementations: the percentage of quantities on which they do alike."""
    if grid.shape[1] < 2:
        return element("p", "There is one implementation only.")
    share = found.share
    order = cluster(share)
    least = min((share[a, b] for a in order for b in order if a != b and not math.isnan(share[a, b])), default=0.0)
    size = _CELL * len(order)
    parts = [element("title", "Share of quantities on which two implementations do alike")]
    for row, one in enumerate(order):
        parts += _names(grid, one, row, size)
        pairs = [(place, other) for place, other in enumerate(order) if other != one]
        parts += [_square(found, grid, (one, other), (row, place), least) for place, other in pairs]
    height = _TOP + size + 34
    return element(
        "svg", parts, viewBox=f"0 0 {_LEFT + size + 20} {height}", width=_LEFT + size + 20, height=height,
        role="img", class_="agreement", aria_label="Agreement between implementations; the table below says the same",
    )  # fmt: skip


def _names(grid: Grid, one: int, row: int, size: int) -> list[Markup]:
    name = label(grid.results.run.implementations[one])
    short = name if len(name) <= 27 else name[:26] + "…"
    middle = _CELL * row + _CELL / 2
    return [
        element("text", element("tspan", f"{row + 1} ", class_="tally"), short, x=_LEFT - 10, y=_TOP + middle + 5,
                class_="who"),
        element("text", str(row + 1), x=_LEFT + middle, y=_TOP + size + 22, class_="axis"),
    ]  # fmt: skip


def _square(
    found: Agreement, grid: Grid, pair: tuple[int, int], place: tuple[int, int], least: float
) -> Markup:
    rows = grid.results.run.implementations
    shared, alike = int(found.shared[pair]), int(found.alike[pair])
    one, other = (label(rows[at]) for at in pair)
    told = f"{one} and {other}: " + (f"alike on {alike:,} of {shared:,} quantities" if shared else "nothing shared")
    x, y = _LEFT + _CELL * place[1], _TOP + _CELL * place[0]
    shade = _shade(alike / shared, least) if shared else "none"
    text = percent(alike, shared)
    return element(
        "g", element("title", told),
        element("rect", x=x, y=y, width=_CELL - 2, height=_CELL - 2, class_=f"shade s{shade}"),
        element("text", text, x=x + _CELL / 2 - 1, y=y + _CELL / 2 + 4, class_=f"percent s{shade}"),
    )  # fmt: skip


def percent(alike: int, shared: int) -> str:
    """Return whole percent, rounded down, so that 100 is said of all alike only.

    >>> percent(999, 1000), percent(5, 5), percent(0, 0)
    ('99', '100', '–')
    """
    return str(alike * 100 // shared) if shared else "–"


def _shade(share: float, least: float) -> int:
    """Return the shade between the least alike pair, 0, and all alike, the darkest."""
    if share >= 1:
        return _SHADES - 1
    return min(_SHADES - 2, int((share - least) / max(1 - least, 1e-9) * (_SHADES - 1)))


def agreement_words(found: Agreement, grid: Grid) -> Markup:
    """Return the matrix as a table of counts, for readers who cannot see it."""
    names = [label(row) for row in grid.results.run.implementations]
    lines = [
        (name, *(f"{a:,} of {n:,}" for a, n in zip(found.alike[at], found.shared[at], strict=True)))
        for at, name in enumerate(names)
    ]
    table = plain_table("Agreement in numbers", ("Alike on", *names), lines)
    return element("details", element("summary", "The same in numbers"), table)
