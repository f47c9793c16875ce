"""The oracle of networks: runs a case through the stack and measures how far rounding takes each quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.corpus.case import Case, Step
from conformance.definition.batch_norm import Array, State, by_channel
from conformance.definition.constants import kept_constants
from conformance.definition.noise import Source
from conformance.definition.precision import Precision, working_precision
from conformance.definition.prediction import Key, Prediction
from conformance.definition.rules import Rules
from conformance.definition.stack import Pass, Stack, States
from conformance.definition.writer import Writer

__all__ = ["simulate_network"]

#: How often the program is run with random rounding.
_DRAWS = 6
#: The smallest rounding that is drawn: float64, in which draws are computed, errs by far less.
_DRAWN = 2.0**-32


def simulate_network(
    case: Case, arrays: Mapping[str, Array], rules: Rules, *, measured: bool = True
) -> Prediction:
    """Predict all quantities of a case that asks a network.

    Bounds are measured: the whole program is run ``_DRAWS`` times with every operation erring by one rounding
    (``noise``). The root mean square of what that moves, element-wise, but at least that of its row, is multiplied
    by twice the growth of the longest sum. What a rounding moves is in proportion to it: those of float64 are drawn
    larger, and what they move is scaled. Unless ``measured``, values are those of float64, without bounds.
    """
    assert case.network is not None
    layer = kept_constants(case.layer, rules.dialect)
    wide: Any = np.longdouble if measured and "float64" in (layer.dtype, layer.param_dtype) else np.float64
    precision = working_precision(case, rules, wide)
    exact = _Run.of(case, arrays, rules, wide, lambda values: values)
    unit = max(precision.unit, _DRAWN)
    seeds = range(1, _DRAWS + 1) if measured else ()
    draws = [_Run.of(case, arrays, rules, np.float64, Source(unit, seed).noisy) for seed in seeds]
    rows = max(array.shape[0] for name, array in arrays.items() if name.startswith("x:"))
    measure = _Measure(precision, max(rows, case.network.width), precision.unit / unit)
    writer = Writer(layer, precision)
    for key, one in exact.found.items():
        bounds = [measure(part, [np.asarray(draw.found[key][at]) for draw in draws]) for at, part in enumerate(one)]
        _write(writer, key, one, bounds, layer.param_dtype)
    for number, step in enumerate(case.program, start=1):
        if step.same_as is not None:
            writer.same(number, exact.named[step.same_as][0])
    return writer.prediction


def _write(writer: Writer, key: Key, parts: Sequence[Array], bounds: Sequence[Array], kept_in: str) -> None:
    number, name = key
    if name == "mse":
        writer.distance(number, name, parts[0], parts[1], bounds[0] + bounds[1])
    elif name.startswith("running"):
        writer.state(number, name, parts[0], bounds[0], kept_in)
    else:
        writer.rows(number, name, parts[0], bounds[0], parts[0].shape[::-1])


@dataclass(frozen=True)
class _Measure:
    """From what random rounding moves to a bound, tight and plain: a leading axis of two."""

    precision: Precision
    longest: int
    scale: float

    def __call__(self, exact: Array, draws: Sequence[Array]) -> Array:
        if not draws:
            return np.zeros((2, *exact.shape))
        moved = np.stack([draw - exact for draw in draws])
        size = np.sqrt((moved * moved).mean(axis=0))
        row = np.sqrt((size * size).mean(axis=-1, keepdims=True))
        growth = self.precision.growth(self.longest).reshape(2, *(1,) * size.ndim)
        bound: Array = 2 * self.scale * growth * np.maximum(size, row) + self.precision.floor
        return bound


@dataclass
class _Run:
    """One way through the program; ``found`` holds arrays in rows, two of them for a distance."""

    case: Case
    arrays: Mapping[str, Array]
    stack: Stack
    states: States
    wide: Any
    lift: Callable[[Any], Any]
    found: dict[Key, tuple[Array, ...]] = field(default_factory=dict)
    named: dict[str, tuple[int, Pass]] = field(default_factory=dict)
    saved: dict[str, States] = field(default_factory=dict)

    @classmethod
    def of(
        cls, case: Case, arrays: Mapping[str, Array], rules: Rules, wide: Any, lift: Callable[[Any], Any]
    ) -> _Run:
        """Run the program of ``case`` in the precision ``wide``, on inputs that ``lift`` makes of its arrays."""
        assert case.network is not None
        layer = kept_constants(case.layer, rules.dialect)
        stack = Stack.of(layer, case.network, arrays, wide, rules)
        return cls(case, arrays, stack, Stack.start(case.network, arrays, wide), wide, lift)

    def __post_init__(self) -> None:
        for number, step in enumerate(self.case.program, start=1):
            self.take(number, step)
            for name in step.observe if self.case.tracked else ():
                if name != "y":
                    values = [getattr(state, name.removeprefix("running_")) for state in self.states]
                    self.found[number, name] = (np.concatenate([np.asarray(one) for one in values]),)

    def take(self, number: int, step: Step) -> None:
        if step.save is not None:
            self.saved[step.save] = self.states
        elif step.moves_state:
            self.states = _average([self.saved[name] for name in step.average or (step.restore or "",)])
        elif step.converge is not None:
            self.converge(number, step, step.converge)
        elif step.hvp:
            args = (step.mode or "train", self.states, self.rows(f"dy:{number}"), self.rows(f"v_x:{number}"))
            self.found[number, "hvp_x"] = (np.asarray(self.stack.hessian(self.rows(f"x:{step.labels[0]}"), *args)),)
        else:
            self.call(number, step)

    def call(self, number: int, step: Step) -> None:
        done = self.forward(step.labels[0], step.mode or "train")
        if step.name is not None:
            self.named[step.name] = number, done
        if "y" in step.observe:
            self.found[number, "y"] = (np.asarray(done.y),)
        if step.against is not None:
            self.found[number, "mse"] = np.asarray(done.y)[None], np.asarray(self.named[step.against][1].y)[None]
        if step.gradients:
            self.found[number, "dx"] = (np.asarray(self.stack.gradient(done, self.rows(f"dy:{number}"))),)

    def converge(self, number: int, step: Step, label: str) -> None:
        seen = [self.forward(label, "evaluate").y]
        trained = self.forward(label, "train")
        for k in range(1, step.times + 1):
            if k % step.every == 0:
                seen.append(self.forward(label, "evaluate").y)
            if k < step.times:
                self.again(label, trained)
        self.found[number, "mse"] = np.stack([np.asarray(one) for one in seen]), np.asarray(trained.y)[None]

    def again(self, label: str, trained: Pass) -> None:
        """Train once more on a batch: where the state has no part in that, its statistics are what they were."""
        if self.stack.rules.train_statistics == "batch":
            self.states = self.stack.moved(trained.batches, self.states, "train")
        else:
            self.forward(label, "train")

    def forward(self, label: str, mode: str) -> Pass:
        done = self.stack.forward(self.rows(f"x:{label}"), mode, self.states)
        self.states = done.states
        return done

    def rows(self, name: str) -> Any:
        return self.lift(by_channel(self.arrays[name].astype(self.wide)))


def _average(kept: Sequence[States]) -> States:
    """Return one kept state itself, or the average of several."""
    if len(kept) == 1:
        return kept[0]
    return tuple(
        State(sum(one.mean for one in each) / len(each), sum(one.var for one in each) / len(each), each[0].updates)
        for each in zip(*kept, strict=True)
    )
