"""The list of figures, what a module of one looks like, and the targets."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

__all__ = ["FIGURES", "Figure", "Target", "at_least", "at_most", "load", "told"]

#: In the order of measuring: what is quick comes first.
FIGURES = (
    "collecting", "oracle", "gradcheck", "gradgradcheck", "check_grads", "onnx_tests", "overhead", "report_size",
    "growth", "default_run",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What a figure is, in a few words, and what it is to reach; ``reached`` tells whether it does."""

    what: str
    unit: str = ""
    text: str = ""
    reached: Callable[[float], bool] = lambda _: True


class Figure(Protocol):
    """A module of this package."""

    TARGETS: dict[str, Target]

    def measure(self) -> dict[str, float]:
        """Return the figures."""


def at_most(limit: float, what: str, unit: str = "") -> Target:
    """Return a target from above."""
    return Target(what, unit, f"at most {limit:g}", lambda value: value <= limit)


def at_least(limit: float, what: str, unit: str = "") -> Target:
    """Return a target from below."""
    return Target(what, unit, f"at least {limit:g}", lambda value: value >= limit)


def load(name: str) -> Figure:
    """Return the module of that name."""
    return cast("Figure", importlib.import_module(f"benchmarks.bench.{name}"))


def told(value: float) -> str:
    """Return a figure as a reader wants it: three digits that say something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
