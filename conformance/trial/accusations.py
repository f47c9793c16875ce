"""Random cases on honest implementations: how far inside the bounds they stay, and whether any is accused."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from conformance.corpus.case import Case, Inputs, Step
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.errors import CaseError
from conformance.trial.honest import HonestAdapter, Orders
from conformance.trial.mutants import observe
from conformance.verdict.compare import Comparison, compare
from conformance.verdict.oracle import Question

__all__ = ["Measured", "drawn_case", "trial"]

_RULES = Rules(dialect=Dialect(statistics_gradient="leaf", update_gradient="differentiable"))
#: Above this many values per channel Welford's recurrence costs more than all the rest.
_SMALL = 256
_STEPS = (
    Step(train="a", gradients=("x", "gamma", "beta")),
    Step(train="b"),
    Step(evaluate="c", gradients=("x", "gamma", "beta", "running_mean", "running_var")),
    Step(through_update=("d", "e")),
)
# Largest offset in standard deviations and range of the scale: what fits float16 is little.
_RANGES = {
    "float64": (1e4, -6.0, 6.0), "float32": (1e4, -6.0, 6.0), "bfloat16": (1e4, -6.0, 6.0), "float16": (1e2, -2.0, 2.0),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One quantity of one case on one implementation: error over tight and over plain bound, at the worst element."""

    case: Case
    orders: Orders
    quantity: str
    tight: float
    plain: float

    @property
    def accused(self) -> bool:
        """Tell whether an honest answer lies outside the plain bound."""
        return not self.plain <= 1

    def labels(self) -> Iterator[tuple[str, str]]:
        """Yield what the measurement belongs to: its dtype, and every order of operations."""
        yield "dtype", self.case.dtype
        for order in fields(self.orders):
            yield order.name, getattr(self.orders, order.name)


def drawn_case(draw: random.Random) -> Case:
    """Return a random case: two training steps, an evaluate, a gradient through the update.

    ``n`` from 2 to 2000 and at least one channel; offset up to 1e4 standard deviations, scale from 1e-6 to 1e6, less
    in float16; epsilon from 1e-12 to 1; momentum 0, 1, near either, or between.
    """
    dtype: Any = draw.choice(["float32", "float32", "float64", "float64", "float16", "bfloat16"])
    most, low, high = _RANGES[dtype]
    n = int(2 * 10 ** draw.uniform(0, 3))
    spatial = draw.choice([k for k in (1, 2, 3, 5, 7) if n >= 2 * k])
    shape = f"{n // spatial}x{draw.randint(1, 3)}" + ("" if spatial == 1 else f"x{spatial}")
    offset = draw.choice([0, 1, -1]) * 10 ** draw.uniform(-1, math.log10(most))
    inputs = Inputs(offset=offset, scale=10 ** draw.uniform(low, high))
    momentum: Any = draw.choice([0.0, 1.0, 1e-3, 0.999, 0.1, draw.random(), "cumulative"])
    return Case(
        id="trial/drawn", fact="Honest rounding is never accused.", clauses=("12.1",), steps=_STEPS, shape=shape,
        dtype=dtype, x=inputs, epsilon=10 ** draw.uniform(-12, 0), momentum=momentum,
    )  # fmt: skip


def trial(cases: int, implementations: int, seed: int) -> Iterator[Measured]:
    """Yield every quantity of ``cases`` random cases, each on so many random implementations."""
    draw = random.Random(seed)  # noqa: S311  (no secret)
    for _ in range(cases):
        question = _question(draw)
        n = int(np.prod(question.arrays["x:a"].shape) / question.arrays["x:a"].shape[1])
        for _ in range(implementations):
            yield from _measured(question, Orders.drawn(draw, small=n <= _SMALL))


def _question(draw: random.Random) -> Question:
    while True:
        try:
            return Question(drawn_case(draw))
        except CaseError:  # The inputs overflow the dtype.
            continue


def _measured(question: Question, orders: Orders) -> Iterator[Measured]:
    seen = observe(HonestAdapter(orders), question)
    for key, expected in question.predict(_RULES).items():
        observed = seen.outcomes.get(key)
        assert isinstance(expected, Expected)
        assert isinstance(observed, np.ndarray), (key, seen.outcomes)
        comparison = compare(observed, expected)
        assert isinstance(comparison, Comparison), (key, comparison)
        with np.errstate(divide="ignore", invalid="ignore"):
            plain = np.where(comparison.error == 0, 0.0, comparison.error / expected.plain)
        tight = comparison.ratio.max(initial=0.0)
        yield Measured(question.case, orders, key[1], float(tight), float(plain.max(initial=0.0)))
