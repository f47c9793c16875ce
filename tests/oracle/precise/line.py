"""Higher derivatives of one channel: differences along a line, of differences by an element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpmath import mpf

from conformance.corpus.case import Step

from .arithmetic import WIDTH_ALONG, Channel, dot, replaced, slope

if TYPE_CHECKING:
    from .layer import Layer, Statistics


@dataclass
class Line:
    """One channel on the line ``x + t v_x``, ``gamma + t v_gamma``, ``dy + t v_dy``, each where it is asked for."""

    layer: Layer
    c: int
    xs: Channel
    dys: Channel
    statistics: Statistics
    unit: Any
    direction: dict[str, Any]

    def elements(self, step: Step, k: int) -> Iterator[tuple[str, Any]]:
        """Yield every derivative that element ``k`` of the channel has."""
        if "x" in step.hvp:
            yield "hvp_x", self.along(lambda t: self.by_x(t, step.hvp, k))
        if "dy" in step.hvp:
            yield "hvp_dy", self.along(lambda t: self.output(t, step.hvp)[k])
        if step.third:
            yield "third_x", self.twice_along(lambda t: self.by_x(t, ("x",), k))
        if 1 in step.jvp:
            yield "jvp_y", self.along(lambda t: self.output(t, ("x",))[k])
        if 2 in step.jvp:
            yield "jvp2_y", self.twice_along(lambda t: self.output(t, ("x",))[k])

    @property
    def width(self) -> Any:
        return WIDTH_ALONG * min(mpf(1), self.unit / max(abs(v) for v in self.direction["x"]))

    def along(self, function: Callable[[Any], Any]) -> Any:
        return (function(self.width) - function(-self.width)) / (2 * self.width)

    def twice_along(self, function: Callable[[Any], Any]) -> Any:
        return (function(self.width) - 2 * function(mpf(0)) + function(-self.width)) / self.width**2

    def at(self, name: str, t: Any, moving: Sequence[str]) -> Any:
        start = {"x": self.xs, "gamma": [self.layer.gamma[self.c]], "dy": self.dys}[name]
        step = self.direction[name] if name != "gamma" else [self.direction[name]]
        return [a + t * v for a, v in zip(start, step, strict=True)] if name in moving else start

    def output(self, t: Any, moving: Sequence[str]) -> Channel:
        (gamma,) = self.at("gamma", t, moving)
        return self.layer.scaled(self.at("x", t, moving), self.statistics, gamma, self.layer.beta[self.c])

    def by_x(self, t: Any, moving: Sequence[str], k: int) -> Any:
        xs, (gamma,), dys = self.at("x", t, moving), self.at("gamma", t, moving), self.at("dy", t, moving)
        beta = self.layer.beta[self.c]
        loss = lambda x: dot(self.layer.scaled(replaced(xs, k, x), self.statistics, gamma, beta), dys)  # noqa: E731
        return slope(loss, xs[k], self.unit)

    def by_gamma(self, t: Any, moving: Sequence[str]) -> Any:
        xs, (gamma,), dys = self.at("x", t, moving), self.at("gamma", t, moving), self.at("dy", t, moving)
        beta = self.layer.beta[self.c]
        return slope(lambda g: dot(self.layer.scaled(xs, self.statistics, g, beta), dys), gamma, mpf(1))
