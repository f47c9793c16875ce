"""The convergence curves drawn: mean square distance of evaluate from train over the calls, logarithmic."""

from __future__ import annotations

import math

from conformance.report.convergence import Curve, Kind, curves
from conformance.report.figures import power
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.words import plain_table

__all__ = ["convergence_figures"]

_LEFT, _WIDTH, _TOP, _HEIGHT, _RIGHT = 72, 560, 24, 320, 280
#: Distances below are drawn at the lower edge: they are rounding of rounding.
_LEAST = 1e-32
_SHOWN = ("scenarios/convergence/curve[momentum=0.3,dtype=float32]",
          "scenarios/convergence/curve[momentum=0.1,dtype=float32]")  # fmt: skip
_POINTS = 24
_MARKS = ("M-4,-4h8v8h-8z", "M0,-5L5,4H-5z", "M-5,0L0,-5L5,0L0,5z", "M0,5L5,-4H-5z")


def convergence_figures(grid: Grid) -> Markup:
    """Return a picture for each case that was run, all but two of them folded, with its numbers."""
    found = curves(grid)
    if not found:
        return Markup("")
    shown = [curve for name in _SHOWN for curve in found if curve.case == name] or found[:1]
    folded = [curve for curve in found if curve not in shown]
    summary = element("summary", f"{len(folded)} more curves")
    return join((*map(_figure, shown), element("details", summary, map(_figure, folded)) if folded else ""))


def _figure(curve: Curve) -> Markup:
    return element("figure", element("figcaption", _caption(curve)), _picture(curve), _numbers(curve), class_="curve")


def _caption(curve: Curve) -> Markup:
    variation = curve.case.partition("[")[2].rstrip("]").replace(",", ", ") or f"momentum={curve.momentum:g}"
    name = curve.case.partition("[")[0]
    taken = f"each call takes {1 - curve.slope:.3g} of the distance away"
    told = f"{taken}, down to the floor of the estimator or of rounding"
    return join((element("strong", name), f", {variation}: {told}."))


def _picture(curve: Curve) -> Markup:
    scale = _Scale(curve)
    height = max(_TOP + _HEIGHT + 56, _TOP + 52 * len(curve.kinds) + 120)
    width = _LEFT + _WIDTH + _RIGHT
    parts = [_axes(scale), _slope(curve, scale), _floor(curve, scale)]
    parts += [_kind(kind, at, scale, curve.every) for at, kind in enumerate(curve.kinds)]
    svg = element(
        "svg", element("title", f"Mean square distance over calls: {curve.case}"), parts, _legend(curve),
        viewBox=f"0 0 {width} {height}", width=width, height=height, role="img", class_="quality convergence",
    )  # fmt: skip
    return element("div", svg, class_="scroll", tabindex="0", role="region", aria_label=f"Convergence, {curve.case}")


class _Scale:
    """From calls and decades to the picture's units."""

    def __init__(self, curve: Curve) -> None:
        # What is predicted below everything that was measured is without rounding: its line leaves the picture.
        values = [value for kind in curve.kinds for one in kind.measured.values() for value in one if value > 0]
        self.last = max(len(kind.predicted) - 1 for kind in curve.kinds) * curve.every
        levels = [math.log10(max(value, _LEAST)) for value in values] or [0.0]
        self.bottom, self.top = math.floor(min(levels)), max(math.ceil(max(levels)), math.floor(min(levels)) + 1)

    def x(self, k: float) -> float:
        return _LEFT + 8 + k / max(self.last, 1) * (_WIDTH - 16)

    def y(self, value: float) -> float:
        decade = math.log10(max(value, 10.0**self.bottom))
        return _TOP + _HEIGHT - (decade - self.bottom) / (self.top - self.bottom) * _HEIGHT


def _axes(scale: _Scale) -> Markup:
    parts = []
    step = max(1, math.ceil((scale.top - scale.bottom) / 8))
    for decade in range(scale.bottom, scale.top + 1, step):
        y = scale.y(10.0**decade)
        parts += [element("line", x1=_LEFT, x2=_LEFT + _WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="tick"),
                  element("text", power(decade), x=_LEFT - 8, y=f"{y + 5:.1f}", class_="end")]  # fmt: skip
    for k in range(0, scale.last + 1, _stride(scale.last)):
        x = f"{scale.x(k):.1f}"
        parts += [element("line", x1=x, x2=x, y1=_TOP + _HEIGHT, y2=_TOP + _HEIGHT + 6, class_="base"),
                  element("text", str(k), x=x, y=_TOP + _HEIGHT + 24, class_="axis")]  # fmt: skip
    foot = "training calls on the same batch, k"
    return join((*parts, element("text", foot, x=_LEFT + _WIDTH / 2, y=_TOP + _HEIGHT + 46, class_="axis"),
                 element("text", "avg((y evaluate − y train)²)", x=_LEFT, y=_TOP - 8, class_="start")))  # fmt: skip


def _stride(last: int) -> int:
    """Return the distance of the marks on the axis of calls: 1, 2 or 5 times a power of ten, at most seven marks."""
    decades = (base * 10**power for power in range(5) for base in (1, 2, 5))
    return next((one for one in decades if one * 7 >= last), 10**5)


def _slope(curve: Curve, scale: _Scale) -> Markup:
    """Return the line that falls by (1 - momentum)^2 with each call, from where the curves start."""
    start = curve.kinds[0].predicted[0]
    if not 0 < curve.slope < 1 or not start > 0:
        return Markup("")
    lowest = 10.0**scale.bottom
    last = min(scale.last, math.log(lowest / start) / math.log(curve.slope))
    return element(
        "line", element("title", "(1 − momentum)²ᵏ"), x1=f"{scale.x(0):.1f}", y1=f"{scale.y(start):.1f}",
        x2=f"{scale.x(last):.1f}", y2=f"{scale.y(start * curve.slope**last):.1f}", class_="slope",
    )  # fmt: skip


def _floor(curve: Curve, scale: _Scale) -> Markup:
    if curve.floor is None or not 10.0**scale.bottom <= curve.floor <= 10.0**scale.top:
        return Markup("")
    y = f"{scale.y(curve.floor):.1f}"
    told = element("title", f"gamma² / (4 n²) = {curve.floor:.3g}")
    return element("line", told, x1=_LEFT, x2=_LEFT + _WIDTH, y1=y, y2=y, class_="floor")


def _kind(kind: Kind, at: int, scale: _Scale, every: int) -> Markup:
    """Return the predicted line of a kind, and what each of its implementations has measured, as marks."""
    line = _inside([(k * every, value) for k, value in enumerate(kind.predicted)], 10.0**scale.bottom)
    path = "M" + "L".join(f"{scale.x(k):.1f},{scale.y(value):.1f}" for k, value in line)
    stride = max(1, len(kind.predicted) // _POINTS)
    marks = []
    for order, (name, series) in enumerate(kind.measured.items()):
        shifted = order % stride
        for k in range(shifted, len(series), stride):
            if math.isnan(series[k]):
                continue
            told = element("title", f"{name}: {series[k]:.3g} after {k * every}")
            place = f"translate({scale.x(k * every):.1f},{scale.y(series[k]):.1f})"
            marks.append(element("path", told, d=_MARKS[at % len(_MARKS)], transform=place))
    return element("g", element("path", d=path, class_="run"), marks, class_=f"line g{at % 6}")


def _inside(line: list[tuple[int, float]], lowest: float) -> list[tuple[float, float]]:
    """Return the points of a falling line down to the lowest value that is drawn, where it ends."""
    kept: list[tuple[float, float]] = []
    for k, value in line:
        if value >= lowest or math.isnan(value):
            kept += [] if math.isnan(value) else [(k, value)]
            continue
        return [*kept, (k, lowest)]
    return kept


def _legend(curve: Curve) -> Markup:
    x, parts, y = _LEFT + _WIDTH + 20, [], _TOP + 8
    for at, kind in enumerate(curve.kinds):
        names = list(dict.fromkeys(name.partition(" ")[0] for name in kind.measured))
        told = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        sign = element("path", d=_MARKS[at % len(_MARKS)], transform=f"translate({x + 12},{y + 20})")
        line = element("line", x1=x, x2=x + 24, y1=y, y2=y, class_="run")
        mark = element("g", sign, line, class_=f"line g{at % 6}")
        parts += [mark, element("text", "predicted", x=x + 32, y=y + 5, class_="start"),
                  element("text", told, x=x + 32, y=y + 25, class_="start")]  # fmt: skip
        y += 52
    for class_, told in (("slope", "(1 − momentum)²ᵏ"), *((("floor", "γ² / (4 n²)"),) if curve.floor else ())):
        parts += [element("line", x1=x, x2=x + 24, y1=y, y2=y, class_=class_),
                  element("text", told, x=x + 32, y=y + 5, class_="start")]  # fmt: skip
        y += 26
    return join(parts)


def _numbers(curve: Curve) -> Markup:
    last = max(len(kind.predicted) for kind in curve.kinds) - 1
    at = sorted({0, last // 4, last // 2, 3 * last // 4, last})
    rows = []
    for kind in curve.kinds:
        rows.append(("predicted", *(_value(kind.predicted, k) for k in at)))
        rows += [(name, *(_value(series, k) for k in at)) for name, series in kind.measured.items()]
    heads = ("After so many calls", *(str(k * curve.every) for k in at))
    return element("details", element("summary", "The same in numbers"), plain_table("Distances", heads, rows))


def _value(series: tuple[float, ...], k: int) -> str:
    return f"{series[k]:.3g}" if k < len(series) else "–"
