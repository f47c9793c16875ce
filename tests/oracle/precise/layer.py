"""One layer through the steps of a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from mpmath import mp, mpf

from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect

from .arithmetic import Answer, Batch, Channel, by_channel, dot, exact, moments_of, replaced, sample, slope
from .line import Line
from .linear import linear
from .state import State, epsilon_of

#: Mean and variance, or what makes them of the values; ``None`` for those of the values themselves.
Statistics: TypeAlias = tuple[Any, Any] | Callable[[Channel], tuple[Any, Any]] | None


@dataclass
class Forward:
    mode: str
    batch: Batch
    mean: Channel
    var: Channel
    counts: list[bool]
    before: State
    moves: bool


class Layer:
    def __init__(self, case: Case, arrays: Mapping[str, Any], dialect: Dialect) -> None:
        self.case, self.arrays, self.dialect = case, arrays, dialect
        self.size = case.layer.channels
        self.epsilon = epsilon_of(case, dialect)
        self.gamma, self.beta = self.given("gamma", 1), self.given("beta", 0)
        self.state = State(case, dialect, self.given("running_mean", 0), self.given("running_var", 1))
        self.named: dict[str, Forward] = {}
        self.saved: dict[str, State] = {}
        self.frozen = False

    def given(self, name: str, default: int) -> Channel:
        if name not in self.arrays:
            return [mpf(default)] * self.size
        return [exact(value) for value in self.arrays[name]]

    def take(self, number: int, step: Step) -> Iterator[Answer]:  # noqa: C901  (a kind of step, a branch)
        if step.freeze is not None:
            self.frozen = step.freeze
        elif step.save is not None:
            self.saved[step.save] = self.state.copy()
        elif step.moves_state:
            self.state = State.average([self.saved[name] for name in step.average or (step.restore or "",)])
        elif step.converge is not None:
            yield from self.converged(number, step, step.converge)
        elif step.through_update is not None:
            yield from self.through_update(number, *step.through_update)
        elif step.backward is not None:
            yield from self.backward(number, step, self.named[step.backward])
        elif step.mode is not None and not step.rejected and not self.refuses(step):
            yield from self.call(number, step)
        if self.case.tracked:
            for name, values in zip(("running_mean", "running_var"), self.state.computed, strict=True):
                if name in step.observe:
                    yield from ((number, name, (c,), value) for c, value in enumerate(values))

    def refuses(self, step: Step) -> bool:
        return step.mode == "evaluate" and not self.case.tracked and self.dialect.untracked == "refused"

    def call(self, number: int, step: Step) -> Iterator[Answer]:
        if step.differentiates:
            yield from self.differentiated(number, step)
            return
        if step.folded or step.exported:
            yield from self.read_out(number, step)
            return
        forward = self.forward(step)
        if step.recompute and self.dialect.recomputation == "again":
            self.forward(step)
        if step.name is not None:
            self.named[step.name] = forward
        if "y" in step.observe:
            for c, xs in enumerate(forward.batch.channels):
                ys = self.outputs(c, xs, self.statistics(forward, c), forward.counts)
                yield from ((number, "y", i, y) for i, y in zip(forward.batch.indices[c], ys, strict=True))
        if step.against is not None:
            yield number, "mse", (0,), self.apart(forward, self.every_output(self.named[step.against]))
        if step.target is not None:
            yield number, "loss", (0,), self.apart(forward, by_channel(self.arrays[f"x:{step.target}"]).channels)
        yield from self.backward(number, step, forward)

    def read_out(self, number: int, step: Step) -> Iterator[Answer]:
        """Answer for a linear layer and this one in turn, unfolded, or for an exported model (clauses 20.2 to 20.5)."""
        x = self.arrays[f"x:{step.labels[0]}"]
        if step.folded:
            bias = self.arrays.get(f"bias:{number}", np.zeros(self.size))
            before = by_channel(x).indices
            rows = [[linear(x, self.arrays[f"kernel:{number}"], bias, i) for i in each] for each in before]
            batch = Batch(rows, before)
        else:
            batch = by_channel(x)
        own, kept = step.mode == "train" and self.dialect.exported == "batch", (self.state.mean, self.state.var)
        if step.mode == "train" and self.dialect.exported == "refused":
            return
        if not self.case.tracked:  # clause 11.1
            own, kept = self.dialect.untracked == "batch", ([mpf(0)] * self.size, [mpf(1)] * self.size)
        for c, xs in enumerate(batch.channels):
            trained = self.trained_with(self.state, self.case.tracked, c, None) if own else None
            ys = self.outputs(c, xs, trained if own else (kept[0][c], kept[1][c]))
            yield from ((number, "y", i, y) for i, y in zip(batch.indices[c], ys, strict=True))

    def every_output(self, forward: Forward) -> list[Channel]:
        channels = enumerate(forward.batch.channels)
        return [self.outputs(c, xs, self.statistics(forward, c), forward.counts) for c, xs in channels]

    def apart(self, forward: Forward, others: list[Channel]) -> Any:
        """Return the mean square distance of an output from other values (clause 21.1)."""
        pairs = zip(self.every_output(forward), others, strict=True)
        squares = [(y - other) ** 2 for ys, rest in pairs for y, other in zip(ys, rest, strict=True)]
        return mp.fsum(squares) / len(squares)

    def converged(self, number: int, step: Step, label: str) -> Iterator[Answer]:
        """Follow the formula of clause 21.1 along the states of ``k`` updates with one batch: no output is computed."""
        moments = [moments_of(xs) for xs in by_channel(self.arrays[f"x:{label}"]).channels]
        count = self.arrays[f"x:{label}"].size // self.size
        for k in range(step.times + 1):
            if k % step.every == 0:
                yield number, "mse", (k // step.every,), self.distance(moments)
            if k < step.times:
                self.state.update(moments, count)

    def distance(self, moments: list[tuple[Any, Any]]) -> Any:
        total = mpf(0)
        for c, (mean, var) in enumerate(moments):
            inverse, own = 1 / mp.sqrt(self.state.var[c] + self.epsilon), 1 / mp.sqrt(var + self.epsilon)
            scale, centre = var * (inverse - own) ** 2, (mean - self.state.mean[c]) ** 2 * inverse**2
            total += self.gamma[c] ** 2 * (scale + centre)
        return total / len(moments)

    def forward(self, step: Step) -> Forward:
        """Call the layer: replicas are one batch in pieces, and a mask says which values count (clauses 18)."""
        x = np.concatenate([self.arrays[f"x:{label}"] for label in step.labels])
        batch = by_channel(x)
        mask = self.arrays[f"mask:{step.labels[0]}"] if getattr(step, "masked", False) else None
        counts = [True] * len(batch.channels[0]) if mask is None else [bool(m) for m in mask.reshape(-1)]
        uses, moves = self.effect(step.mode or "train")
        mean, var = list(self.state.mean), list(self.state.var)
        if not self.case.tracked:
            mean, var = [mpf(0)] * self.size, [mpf(1)] * self.size
        forward = Forward(uses, batch, mean, var, counts, self.state.copy(), moves)
        if moves:
            self.state.update([moments_of(xs, counts) for xs in batch.channels], sum(counts))
        return forward

    def effect(self, mode: str) -> tuple[str, bool]:
        """Return whose statistics a call in ``mode`` uses, and whether it moves the state (clauses 10 and 11)."""
        if mode == "evaluate":
            own = not self.case.tracked and self.dialect.untracked == "batch"
            return ("train" if own else "evaluate"), False
        if self.frozen and self.dialect.frozen == "C":
            return "evaluate", False
        return "train", self.case.tracked and not (self.frozen and self.dialect.frozen == "B")

    def statistics(self, forward: Forward, c: int) -> Statistics:
        """Return what an evaluate normalises with; a train takes the statistics of its batch, whatever that is."""
        if forward.mode != "train":
            return forward.mean[c], forward.var[c]
        return self.trained_with(forward.before, forward.moves, c, forward.counts)

    def trained_with(self, before: State, moves: bool, c: int, counts: list[bool] | None) -> Statistics:
        """Return what a train normalises with: of its batch, or the running ones once they hold it (clause 1.1)."""
        if self.dialect.train_statistics == "batch":
            return None

        def updated(xs: Channel) -> tuple[Any, Any]:
            state = before.of(c)
            if moves:
                state.update([moments_of(xs, counts)], sum(counts) if counts is not None else len(xs))
            return state.computed[0][0], state.computed[1][0]

        return updated

    def differentiated(self, number: int, step: Step) -> Iterator[Answer]:
        """Difference along the line through ``x``, ``gamma`` and ``dy`` in the step's direction (clauses 9)."""
        uses, moves = self.effect(step.mode or "train")
        batch = by_channel(self.arrays[f"x:{step.labels[0]}"])
        dys, v_x, v_dy = (by_channel(self.arrays[f"{name}:{number}"]).channels for name in ("dy", "v_x", "v_dy"))
        v_gamma = [exact(value) for value in self.arrays[f"v_gamma:{number}"]]
        for c, xs in enumerate(batch.channels):
            evaluated = self.state.mean[c], self.state.var[c]
            statistics = self.trained_with(self.state, moves, c, None) if uses == "train" else evaluated
            unit = mp.sqrt(moments(xs, statistics)[1] + self.epsilon)
            line = Line(self, c, xs, dys[c], statistics, unit, {"x": v_x[c], "gamma": v_gamma[c], "dy": v_dy[c]})
            if "gamma" in step.hvp:
                yield number, "hvp_gamma", (c,), line.along(lambda t, line=line: line.by_gamma(t, step.hvp))
            for k in sample(self.case.id, number, "x", c, len(xs)):
                at = batch.indices[c][k]
                yield from ((number, name, at, value) for name, value in line.elements(step, k))

    def outputs(
        self, c: int, xs: Channel, statistics: Statistics, counts: list[bool] | None = None
    ) -> Channel:
        """Return ``y`` of one channel: clauses 1.1 and 5.1."""
        return self.scaled(xs, statistics, self.gamma[c], self.beta[c], counts)

    def scaled(
        self, xs: Channel, statistics: Statistics, gamma: Any, beta: Any, counts: list[bool] | None = None
    ) -> Channel:
        mean, var = moments(xs, statistics, counts)
        root = mp.sqrt(var + self.epsilon)
        return [gamma * (x - mean) / root + beta for x in xs]

    def backward(self, number: int, step: Step, forward: Forward) -> Iterator[Answer]:
        if not step.gradients:
            return
        upstream = by_channel(self.arrays[f"dy:{number}"]).channels
        for c, dys in enumerate(upstream):
            if not all(mp.isfinite(x) for x in forward.batch.channels[c]):
                continue  # There is nothing to difference; the other channels are as ever.
            for name in step.gradients:
                yield from self.gradient(number, name, forward, c, dys)

    def gradient(self, number: int, name: str, forward: Forward, c: int, dys: Channel) -> Iterator[Answer]:
        xs, statistics = forward.batch.channels[c], self.statistics(forward, c)
        if name == "x":
            yield from self.by_input(number, forward, c, dys)
        elif name == "gamma":
            loss = lambda gamma: dot(self.scaled(xs, statistics, gamma, self.beta[c], forward.counts), dys)  # noqa: E731
            yield number, "dgamma", (c,), slope(loss, self.gamma[c], mpf(1))
        elif name == "beta":
            loss = lambda beta: dot(self.scaled(xs, statistics, self.gamma[c], beta, forward.counts), dys)  # noqa: E731
            yield number, "dbeta", (c,), slope(loss, self.beta[c], mpf(1))
        elif self.dialect.statistics_gradient != "refused":
            yield number, f"d{name}", (c,), self.by_statistic(name, forward, c, dys)

    def by_input(self, number: int, forward: Forward, c: int, dys: Channel) -> Iterator[Answer]:
        xs, statistics = forward.batch.channels[c], self.statistics(forward, c)
        counts = forward.counts
        unit = mp.sqrt(moments(xs, statistics, counts)[1] + self.epsilon)
        for k in sample(self.case.id, number, "x", c, len(xs)):
            loss = lambda x, k=k: dot(self.outputs(c, replaced(xs, k, x), statistics, counts), dys)  # noqa: E731
            yield number, "dx", forward.batch.indices[c][k], slope(loss, xs[k], unit)

    def by_statistic(self, name: str, forward: Forward, c: int, dys: Channel) -> Any:
        """Return the gradient with respect to a running statistic: clause 7.3; a train does not depend on them."""
        if self.dialect.statistics_gradient == "constant" or forward.mode == "train":
            return mpf(0)
        xs, mean, var = forward.batch.channels[c], forward.mean[c], forward.var[c]
        if name == "running_mean":
            return slope(lambda m: dot(self.outputs(c, xs, (m, var)), dys), mean, mp.sqrt(var + self.epsilon))
        return slope(lambda v: dot(self.outputs(c, xs, (mean, v)), dys), var, var + self.epsilon)

    def through_update(self, number: int, first: str, second: str) -> Iterator[Answer]:
        """Difference the output of an evaluate by the values of the batch trained on before: clause 8.1.

        A state that is not moved depends on nothing. One that is stored in fewer bits moves, where it is stored, as
        what was computed does: rounding has no derivative of its own.
        """
        before, (_, moves) = self.state.copy(), self.effect("train")
        earlier = self.forward(Step(train=first)).batch
        later = self.forward(Step(evaluate=second)).batch
        upstream = by_channel(self.arrays[f"dy:{number}"]).channels
        moments = [moments_of(xs) for xs in earlier.channels]
        for c, xs in enumerate(earlier.channels):
            for k in sample(self.case.id, number, "earlier", c, len(xs)):
                if self.dialect.update_gradient == "detached" or not moves:
                    yield number, "dx_earlier", earlier.indices[c][k], mpf(0)
                    continue

                def loss(x: Any, c: int = c, k: int = k, xs: Channel = xs) -> Any:
                    state = before.copy()
                    state.update([*moments[:c], moments_of(replaced(xs, k, x)), *moments[c + 1 :]], len(xs))
                    now, at = state.computed, (self.state.mean[c], self.state.var[c])
                    moved = [old + new[c] - was[c] for old, new, was in zip(at, now, self.state.computed, strict=True)]
                    return dot(self.outputs(c, later.channels[c], (moved[0], moved[1])), upstream[c])

                unit = mp.sqrt(moments[c][1] + self.epsilon)
                yield number, "dx_earlier", earlier.indices[c][k], slope(loss, xs[k], unit)


def moments(xs: Channel, statistics: Statistics, counts: list[bool] | None = None) -> tuple[Any, Any]:
    """Return mean and variance that ``xs`` are normalised with."""
    if statistics is None:
        return moments_of(xs, counts)
    return statistics(xs) if callable(statistics) else statistics
