"""Numerical quality drawn: error over bound against mean over deviation, both logarithmic."""

from __future__ import annotations

import math

from conformance.report.figures import power
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.quality import Panel, Series, panels
from conformance.report.wording import ratio
from conformance.report.words import plain_table

__all__ = ["quality_figures"]

_LEFT, _WIDTH, _TOP, _HEIGHT, _NAMES = 64, 420, 20, 300, 250
#: Ratios beyond are drawn at the edge; their numbers are in the table.
_LEAST, _MOST = 1e-4, 1e16
_STEP = 20
#: The questions that are about this and nothing else; the others are folded.
_SHOWN = ("quality/mean-against-deviation", "normalise/offset")
#: Square, triangle, diamond, triangle upside down, cross.
_MARKS = (
    "M-5,-5h10v10h-10z", "M0,-6L6,5H-6z", "M-6,0L0,-6L6,0L0,6z", "M0,6L6,-5H-6z", "M-5,-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
)  # fmt: skip


def quality_figures(grid: Grid) -> Markup:
    """Return a picture for each question that was put with several means, and its numbers."""
    found = panels(grid)
    if not found:
        return element("p", "No case of this run varies the mean of its input.")
    shown = [panel for panel in found if panel.title.partition("[")[0] in _SHOWN]
    folded = [panel for panel in found if panel not in shown]
    summary = element("summary", f"{len(folded)} more questions that vary the mean")
    more = element("details", summary, map(_figure, folded))
    return join((*map(_figure, shown), more if folded else ""))


def _figure(panel: Panel) -> Markup:
    return element("div", element("h3", panel.title), _picture(panel), _numbers(panel))


def _picture(panel: Panel) -> Markup:
    xs = [math.log10(x) for series in panel.series for x, _ in series.points]
    ys = [_level(y) for series in panel.series for _, y in series.points]
    scale = _Scale(min(xs), max(xs), min(0, math.floor(min(ys))), max(1, math.ceil(max(ys))))
    height = max(_TOP + _HEIGHT, _TOP + _STEP * len(panel.series)) + 56
    width = _LEFT + _WIDTH + _NAMES
    lines = [_line(series, at, scale) for at, series in enumerate(panel.series)]
    svg = element(
        "svg", element("title", f"Error over bound against mean over deviation: {panel.title}"),
        _axes(scale), lines, _legend(panel, scale), viewBox=f"0 0 {width} {height}", width=width, height=height,
        role="img", class_="quality",
    )  # fmt: skip
    return element("div", svg, class_="scroll", tabindex="0", role="region", aria_label=f"Quality, {panel.title}")


class _Scale:
    """From decades to the picture's units."""

    def __init__(self, left: float, right: float, bottom: int, top: int) -> None:
        self.left, self.right, self.bottom, self.top = left, right, bottom, top

    def x(self, decade: float) -> float:
        return _LEFT + 14 + (decade - self.left) / max(self.right - self.left, 1e-9) * (_WIDTH - 28)

    def y(self, decade: float) -> float:
        return _TOP + _HEIGHT - (decade - self.bottom) / (self.top - self.bottom) * _HEIGHT


def _level(value: float) -> float:
    return math.log10(min(max(value, _LEAST), _MOST))


def _axes(scale: _Scale) -> Markup:
    step = max(1, math.ceil((scale.top - scale.bottom) / 8))
    parts = []
    for decade in range(scale.bottom, scale.top + 1):
        if decade == 0 or decade % step == 0:
            y = f"{scale.y(decade):.1f}"
            parts += [
                element("line", x1=_LEFT, x2=_LEFT + _WIDTH, y1=y, y2=y, class_="bound" if decade == 0 else "tick"),
                element("text", power(decade), x=_LEFT - 8, y=f"{scale.y(decade) + 5:.1f}", class_="end"),
            ]
    for decade in range(math.ceil(scale.left), math.floor(scale.right) + 1):
        x = f"{scale.x(decade):.1f}"
        parts += [element("line", x1=x, x2=x, y1=_TOP + _HEIGHT, y2=_TOP + _HEIGHT + 6, class_="base"),
                  element("text", power(decade), x=x, y=_TOP + _HEIGHT + 24, class_="axis")]  # fmt: skip
    foot = "mean of x over its standard deviation (no unit, logarithmic)"
    return join((*parts, element("text", foot, x=_LEFT + _WIDTH / 2, y=_TOP + _HEIGHT + 46, class_="axis"),
                 element("text", "error / tight bound", x=_LEFT + 6, y=_TOP - 4, class_="start")))  # fmt: skip


def _line(series: Series, at: int, scale: _Scale) -> Markup:
    places = [(scale.x(math.log10(x)), scale.y(_level(y))) for x, y in series.points]
    path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = [
        element("path", element("title", f"{series.name}: {ratio(_number(y))} times the bound at {ratio(x)}"),
                d=_MARKS[at % len(_MARKS)], transform=f"translate({place[0]:.1f},{place[1]:.1f})")
        for (x, y), place in zip(series.points, places, strict=True)
    ]  # fmt: skip
    return element("g", element("path", d=path, class_="run"), marks, class_=f"line g{at % 6}")


def _legend(panel: Panel, scale: _Scale) -> Markup:
    """Return the names at the right, in the order in which the lines end, none over another."""
    ends = sorted(range(len(panel.series)), key=lambda at: -panel.series[at].points[-1][1])
    heights = _apart([scale.y(_level(panel.series[at].points[-1][1])) for at in ends])
    x = _LEFT + _WIDTH + 18
    return join(
        element("g", element("path", d=_MARKS[at % len(_MARKS)], transform=f"translate({x},{y:.1f})"),
                element("text", panel.series[at].name, x=x + 14, y=f"{y + 5:.1f}", class_="start"),
                class_=f"line g{at % 6}")
        for at, y in zip(ends, heights, strict=True)
    )  # fmt: skip


def _apart(wanted: list[float]) -> list[float]:
    """Return ascending heights, a line apart at least, as near to the wanted ones as the picture allows."""
    placed: list[float] = []
    for height in wanted:
        placed.append(max(height, placed[-1] + _STEP) if placed else max(height, _TOP))
    lowest = max(_TOP + _HEIGHT, _TOP + _STEP * len(wanted))
    return [min(height, lowest - _STEP * (len(placed) - 1 - at)) for at, height in enumerate(placed)]


def _numbers(panel: Panel) -> Markup:
    offsets = sorted({x for series in panel.series for x, _ in series.points})
    rows = [
        (series.name, *(ratio(_number(dict(series.points)[x])) if x in dict(series.points) else "–" for x in offsets))
        for series in panel.series
    ]  # fmt: skip
    heads = ("Mean over deviation", *(ratio(x) for x in offsets))
    return element("details", element("summary", "The same in numbers"), plain_table("Ratios", heads, rows))


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else "inf"
