"""A second oracle, in 80-digit arithmetic, written from docs/definition.md: it shares no line with the first.

It holds what the first could have got wrong: gradients are central differences of ``sum(y * dy)``, taken through
the statistics of the batch and through the update of the state; the state follows its own recurrence. Only where
a case is large are the gradients of ``x`` sampled, at elements that a hash of case, step and name picks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from mpmath import mp, mpf

from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect

Index: TypeAlias = tuple[int, ...]
Answer: TypeAlias = tuple[int, str, Index, Any]
Channel: TypeAlias = list[Any]

#: Enough for third derivatives, which are differences of differences.
DIGITS = 80
#: Elements of x per channel whose gradient is differenced, where there are more.
SAMPLES = 3
#: Width of a difference, as a part of what its argument is measured by: its own error is of the order
#: of the square, and the rounding of 80 digits 1e-63 of the result, 1e-39 in a second difference of those.
WIDTH = mpf("1e-17")
WIDTH_ALONG = mpf("1e-12")
#: What differences may leave of a zero.
OWN_ERROR = 1e-30


def answers(case: Case, arrays: Mapping[str, Any], dialect: Dialect) -> list[Answer]:
    """Return step, quantity, index and value of everything the definition determines of the case."""
    with mp.workdps(DIGITS):
        if case.network is not None:
            return list(_Network(case, arrays, dialect).answers())
        layer = _Layer(case, arrays, dialect)
        return [answer for number, step in enumerate(case.program, start=1) for answer in layer.take(number, step)]


def distance(value: Any, answer: Any) -> float:
    """Return how far a number, long double at most, is from an answer."""
    with mp.workdps(DIGITS):
        high = np.float64(value)
        if not np.isfinite(high) or not mp.isfinite(answer):
            same = mpf(float(high)) == answer or (np.isnan(high) and mp.isnan(answer))
            return 0.0 if same else math.inf
        return float(abs(mpf(float(high)) + mpf(float(value - high)) - answer))


@dataclass
class _Batch:
    """An input by channel: the values of each, and the index in the array that each value has."""

    channels: list[Channel]
    indices: list[list[Index]]


@dataclass
class _Forward:
    mode: str
    batch: _Batch
    mean: Channel
    var: Channel
    counts: list[bool]


class _Layer:
    def __init__(self, case: Case, arrays: Mapping[str, Any], dialect: Dialect) -> None:
        self.case, self.arrays, self.dialect = case, arrays, dialect
        self.size = case.layer.channels
        self.epsilon = mpf(case.epsilon)
        self.gamma, self.beta = self.given("gamma", 1), self.given("beta", 0)
        self.state = _State(case, dialect, self.given("running_mean", 0), self.given("running_var", 1))
        self.named: dict[str, _Forward] = {}
        self.saved: dict[str, _State] = {}
        self.frozen = False

    def given(self, name: str, default: int) -> Channel:
        if name not in self.arrays:
            return [mpf(default)] * self.size
        return [_exact(value) for value in self.arrays[name]]

    def take(self, number: int, step: Step) -> Iterator[Answer]:  # noqa: C901  (a kind of step, a branch)
        if step.freeze is not None:
            self.frozen = step.freeze
        elif step.save is not None:
            self.saved[step.save] = self.state.copy()
        elif step.moves_state:
            self.state = _State.average([self.saved[name] for name in step.average or (step.restore or "",)])
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
            yield number, "loss", (0,), self.apart(forward, _by_channel(self.arrays[f"x:{step.target}"]).channels)
        yield from self.backward(number, step, forward)

    def read_out(self, number: int, step: Step) -> Iterator[Answer]:
        """Answer for a linear layer and this one in turn, unfolded, or for an exported model (clauses 20.2 to 20.5)."""
        x = self.arrays[f"x:{step.labels[0]}"]
        if step.folded:
            bias = self.arrays.get(f"bias:{number}", np.zeros(self.size))
            before = _by_channel(x).indices
            rows = [[_linear(x, self.arrays[f"kernel:{number}"], bias, i) for i in each] for each in before]
            batch = _Batch(rows, before)
        else:
            batch = _by_channel(x)
        own = step.mode == "train" and self.dialect.exported == "batch"
        if step.mode == "train" and self.dialect.exported == "refused":
            return
        for c, xs in enumerate(batch.channels):
            ys = self.outputs(c, xs, None if own else (self.state.mean[c], self.state.var[c]))
            yield from ((number, "y", i, y) for i, y in zip(batch.indices[c], ys, strict=True))

    def every_output(self, forward: _Forward) -> list[Channel]:
        channels = enumerate(forward.batch.channels)
        return [self.outputs(c, xs, self.statistics(forward, c), forward.counts) for c, xs in channels]

    def apart(self, forward: _Forward, others: list[Channel]) -> Any:
        """Return the mean square distance of an output from other values (clause 21.1)."""
        pairs = zip(self.every_output(forward), others, strict=True)
        squares = [(y - other) ** 2 for ys, rest in pairs for y, other in zip(ys, rest, strict=True)]
        return mp.fsum(squares) / len(squares)

    def converged(self, number: int, step: Step, label: str) -> Iterator[Answer]:
        """Follow the formula of clause 21.1 along the states of ``k`` updates with one batch: no output is computed."""
        moments = [_moments(xs) for xs in _by_channel(self.arrays[f"x:{label}"]).channels]
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

    def forward(self, step: Step) -> _Forward:
        """Call the layer: replicas are one batch in pieces, and a mask says which values count (clauses 18)."""
        x = np.concatenate([self.arrays[f"x:{label}"] for label in step.labels])
        batch = _by_channel(x)
        mask = self.arrays[f"mask:{step.labels[0]}"] if getattr(step, "masked", False) else None
        counts = [True] * len(batch.channels[0]) if mask is None else [bool(m) for m in mask.reshape(-1)]
        uses, moves = self.effect(step.mode or "train")
        mean, var = list(self.state.mean), list(self.state.var)
        if not self.case.tracked:
            mean, var = [mpf(0)] * self.size, [mpf(1)] * self.size
        forward = _Forward(uses, batch, mean, var, counts)
        if moves:
            self.state.update([_moments(xs, counts) for xs in batch.channels], sum(counts))
        return forward

    def effect(self, mode: str) -> tuple[str, bool]:
        """Return whose statistics a call in ``mode`` uses, and whether it moves the state (clauses 10 and 11)."""
        if mode == "evaluate":
            own = not self.case.tracked and self.dialect.untracked == "batch"
            return ("train" if own else "evaluate"), False
        if self.frozen and self.dialect.frozen == "C":
            return "evaluate", False
        return "train", self.case.tracked and not (self.frozen and self.dialect.frozen == "B")

    def statistics(self, forward: _Forward, c: int) -> tuple[Any, Any] | None:
        """Return what an evaluate normalises with; a train takes the statistics of its batch, whatever that is."""
        return None if forward.mode == "train" else (forward.mean[c], forward.var[c])

    def differentiated(self, number: int, step: Step) -> Iterator[Answer]:
        """Difference along the line through ``x``, ``gamma`` and ``dy`` in the step's direction (clauses 9)."""
        uses, _ = self.effect(step.mode or "train")
        batch = _by_channel(self.arrays[f"x:{step.labels[0]}"])
        dys, v_x, v_dy = (_by_channel(self.arrays[f"{name}:{number}"]).channels for name in ("dy", "v_x", "v_dy"))
        v_gamma = [_exact(value) for value in self.arrays[f"v_gamma:{number}"]]
        for c, xs in enumerate(batch.channels):
            statistics = None if uses == "train" else (self.state.mean[c], self.state.var[c])
            unit = mp.sqrt((_moments(xs) if statistics is None else statistics)[1] + self.epsilon)
            line = _Line(self, c, xs, dys[c], statistics, unit, {"x": v_x[c], "gamma": v_gamma[c], "dy": v_dy[c]})
            if "gamma" in step.hvp:
                yield number, "hvp_gamma", (c,), line.along(lambda t, line=line: line.by_gamma(t, step.hvp))
            for k in _sample(self.case.id, number, "x", c, len(xs)):
                at = batch.indices[c][k]
                yield from ((number, name, at, value) for name, value in line.elements(step, k))

    def outputs(
        self, c: int, xs: Channel, statistics: tuple[Any, Any] | None, counts: list[bool] | None = None
    ) -> Channel:
        """Return ``y`` of one channel: clauses 1.1 and 5.1."""
        return self.scaled(xs, statistics, self.gamma[c], self.beta[c], counts)

    def scaled(
        self, xs: Channel, statistics: tuple[Any, Any] | None, gamma: Any, beta: Any, counts: list[bool] | None = None
    ) -> Channel:
        mean, var = _moments(xs, counts) if statistics is None else statistics
        root = mp.sqrt(var + self.epsilon)
        return [gamma * (x - mean) / root + beta for x in xs]

    def backward(self, number: int, step: Step, forward: _Forward) -> Iterator[Answer]:
        if not step.gradients:
            return
        upstream = _by_channel(self.arrays[f"dy:{number}"]).channels
        for c, dys in enumerate(upstream):
            if not all(mp.isfinite(x) for x in forward.batch.channels[c]):
                continue  # There is nothing to difference; the other channels are as ever.
            for name in step.gradients:
                yield from self.gradient(number, name, forward, c, dys)

    def gradient(self, number: int, name: str, forward: _Forward, c: int, dys: Channel) -> Iterator[Answer]:
        xs, statistics = forward.batch.channels[c], self.statistics(forward, c)
        if name == "x":
            yield from self.by_input(number, forward, c, dys)
        elif name == "gamma":
            loss = lambda gamma: _dot(self.scaled(xs, statistics, gamma, self.beta[c], forward.counts), dys)  # noqa: E731
            yield number, "dgamma", (c,), _slope(loss, self.gamma[c], mpf(1))
        elif name == "beta":
            loss = lambda beta: _dot(self.scaled(xs, statistics, self.gamma[c], beta, forward.counts), dys)  # noqa: E731
            yield number, "dbeta", (c,), _slope(loss, self.beta[c], mpf(1))
        else:
            yield number, f"d{name}", (c,), self.by_statistic(name, forward, c, dys)

    def by_input(self, number: int, forward: _Forward, c: int, dys: Channel) -> Iterator[Answer]:
        xs, statistics = forward.batch.channels[c], self.statistics(forward, c)
        counts = forward.counts
        unit = mp.sqrt((_moments(xs, counts) if statistics is None else statistics)[1] + self.epsilon)
        for k in _sample(self.case.id, number, "x", c, len(xs)):
            loss = lambda x, k=k: _dot(self.outputs(c, _with(xs, k, x), statistics, counts), dys)  # noqa: E731
            yield number, "dx", forward.batch.indices[c][k], _slope(loss, xs[k], unit)

    def by_statistic(self, name: str, forward: _Forward, c: int, dys: Channel) -> Any:
        """Return the gradient with respect to a running statistic: clause 7.3; a train does not depend on them."""
        if self.dialect.statistics_gradient == "constant" or forward.mode == "train":
            return mpf(0)
        xs, mean, var = forward.batch.channels[c], forward.mean[c], forward.var[c]
        if name == "running_mean":
            return _slope(lambda m: _dot(self.outputs(c, xs, (m, var)), dys), mean, mp.sqrt(var + self.epsilon))
        return _slope(lambda v: _dot(self.outputs(c, xs, (mean, v)), dys), var, var + self.epsilon)

    def through_update(self, number: int, first: str, second: str) -> Iterator[Answer]:
        """Difference the output of an evaluate by the values of the batch trained on before: clause 8.1.

        A state that is not moved depends on nothing. One that is stored in fewer bits moves, where it is stored, as
        what was computed does: rounding has no derivative of its own.
        """
        before, (_, moves) = self.state.copy(), self.effect("train")
        earlier = self.forward(Step(train=first)).batch
        later = self.forward(Step(evaluate=second)).batch
        upstream = _by_channel(self.arrays[f"dy:{number}"]).channels
        moments = [_moments(xs) for xs in earlier.channels]
        for c, xs in enumerate(earlier.channels):
            for k in _sample(self.case.id, number, "earlier", c, len(xs)):
                if self.dialect.update_gradient == "detached" or not moves:
                    yield number, "dx_earlier", earlier.indices[c][k], mpf(0)
                    continue

                def loss(x: Any, c: int = c, k: int = k, xs: Channel = xs) -> Any:
                    state = before.copy()
                    state.update([*moments[:c], _moments(_with(xs, k, x)), *moments[c + 1 :]], len(xs))
                    now, at = state.computed, (self.state.mean[c], self.state.var[c])
                    moved = [old + new[c] - was[c] for old, new, was in zip(at, now, self.state.computed, strict=True)]
                    return _dot(self.outputs(c, later.channels[c], (moved[0], moved[1])), upstream[c])

                unit = mp.sqrt(moments[c][1] + self.epsilon)
                yield number, "dx_earlier", earlier.indices[c][k], _slope(loss, xs[k], unit)


class _Network:
    """A stack of dense, batch norm and GELU; derivatives are differences of ``sum(y * dy)``, at a few elements."""

    def __init__(self, case: Case, arrays: Mapping[str, Any], dialect: Dialect) -> None:
        assert case.network is not None
        self.case, self.arrays, self.size = case, arrays, case.network.width
        count = range(case.network.blocks)
        self.dense = [
            ([[_exact(v) for v in row] for row in arrays[f"kernel_{k + 1}"]], _exacts(arrays[f"bias_{k + 1}"]))
            for k in range(case.network.blocks + 1)
        ]
        names = ("gamma", "beta", "running_mean", "running_var")
        parts = {name: np.split(arrays[name], case.network.blocks) for name in names}
        self.affine = [(_exacts(parts["gamma"][k]), _exacts(parts["beta"][k])) for k in count]
        self.states = [
            _State(case, dialect, _exacts(parts["running_mean"][k]), _exacts(parts["running_var"][k])) for k in count
        ]

    def answers(self) -> Iterator[Answer]:
        saved: dict[str, list[_State]] = {}
        for number, step in enumerate(self.case.program, start=1):
            if step.save is not None:
                saved[step.save] = [state.copy() for state in self.states]
            elif step.restore is not None:
                self.states = [state.copy() for state in saved[step.restore]]
            elif step.converge is not None:
                yield from self.converged(number, step, step.converge)
            else:
                yield from self.call(number, step)
            for name in ("mean", "var"):
                if f"running_{name}" in step.observe:
                    joined = [value for state in self.states for value in getattr(state, name)]
                    yield from ((number, f"running_{name}", (c,), value) for c, value in enumerate(joined))

    def call(self, number: int, step: Step) -> Iterator[Answer]:
        xs, mode = [_exacts(row) for row in self.arrays[f"x:{step.labels[0]}"]], step.mode or "train"
        before = self.states
        ys = self.forward(xs, mode, move=not step.hvp)
        if "y" in step.observe:
            yield from ((number, "y", (i, c), y) for i, row in enumerate(ys) for c, y in enumerate(row))
        if not step.gradients and not step.hvp:
            return
        self.states, after = before, self.states
        dys, width = [_exacts(row) for row in self.arrays[f"dy:{number}"]], WIDTH_ALONG

        def loss(i: int, c: int, h: Any, t: Any) -> Any:
            lines = zip(xs, direction, strict=True)
            moved = [[x + t * v for x, v in zip(row, along, strict=True)] for row, along in lines]
            moved[i][c] += h
            pairs = zip(self.forward(moved, mode, move=False), dys, strict=True)
            return mp.fsum(_dot(row, upstream) for row, upstream in pairs)

        zero = [[mpf(0)] * len(row) for row in xs]
        direction = [_exacts(row) for row in self.arrays[f"v_x:{number}"]] if step.hvp else zero
        for i, c in ((0, 0), (len(xs) // 2, len(xs[0]) - 1)):
            if step.hvp:
                slopes = [loss(i, c, width, t) - loss(i, c, -width, t) for t in (width, -width)]
                yield number, "hvp_x", (i, c), (slopes[0] - slopes[1]) / (4 * width**2)
            else:
                yield number, "dx", (i, c), (loss(i, c, width, 0) - loss(i, c, -width, 0)) / (2 * width)
        self.states = after

    def converged(self, number: int, step: Step, label: str) -> Iterator[Answer]:
        xs = [_exacts(row) for row in self.arrays[f"x:{label}"]]
        trained = None
        for k in range(step.times + 1):
            seen = self.forward(xs, "evaluate", move=False) if k % step.every == 0 else None
            ys = self.forward(xs, "train", move=k < step.times)
            trained = trained or ys
            if seen is not None:
                squares = [(a - b) ** 2 for one, other in zip(seen, trained, strict=True)
                           for a, b in zip(one, other, strict=True)]  # fmt: skip
                yield number, "mse", (k // step.every,), mp.fsum(squares) / len(squares)

    def forward(self, rows: list[Channel], mode: str, *, move: bool) -> list[Channel]:
        """Return the output by rows; in train, with ``move``, new states take the place of the old."""
        states = []
        for (gamma, beta), dense, state in zip(self.affine, self.dense[:-1], self.states, strict=True):
            rows = _dense(rows, *dense)
            columns = list(zip(*rows, strict=True))
            moments = [_moments(list(column)) for column in columns]
            new = state.copy()
            if mode == "train" and move:
                new.update(moments, len(rows))
            states.append(new)
            used = moments if mode == "train" else list(zip(state.mean, state.var, strict=True))
            roots = [mp.sqrt(var + mpf(self.case.epsilon)) for _, var in used]
            rows = [
                [_gelu(gamma[c] * (z - used[c][0]) / roots[c] + beta[c]) for c, z in enumerate(row)] for row in rows
            ]
        self.states = states
        return _dense(rows, *self.dense[-1])


def _linear(x: Any, kernel: Any, bias: Any, at: Index) -> Any:
    """Return one output, at row, unit and position, of a linear layer with zeros around its input (clause 20.2)."""
    row, unit, *position = at
    total = [_exact(bias[unit])]
    for feature, *place in product(*(range(length) for length in kernel.shape[1:])):
        moved = [p + q - extent // 2 for p, q, extent in zip(position, place, kernel.shape[2:], strict=True)]
        if all(0 <= p < length for p, length in zip(moved, x.shape[2:], strict=True)):
            total.append(_exact(kernel[(unit, feature, *place)]) * _exact(x[(row, feature, *moved)]))
    return mp.fsum(total)


def _exacts(values: Any) -> Channel:
    return [_exact(value) for value in values]


def _dense(rows: list[Channel], kernel: list[Channel], bias: Channel) -> list[Channel]:
    return [[_dot(row, units) + b for units, b in zip(kernel, bias, strict=True)] for row in rows]


def _gelu(z: Any) -> Any:
    return z / 2 * (1 + mp.erf(z / mp.sqrt(2)))


class _State:
    """The running statistics: clauses 3.1 to 3.5, each option of each choice as its own words have it."""

    def __init__(self, case: Case, dialect: Dialect, mean: Channel, var: Channel) -> None:
        self.case, self.dialect, self.mean, self.var = case, dialect, mean, var
        self.count = 0
        #: What a step reads, before it is stored.
        self.computed = (mean, var)
        # What debiasing divides: averages that start from nothing.
        self.raw_mean, self.raw_var = [mpf(0)] * len(mean), [mpf(0)] * len(mean)

    def copy(self) -> _State:
        twin = _State(self.case, self.dialect, self.mean, self.var)
        twin.count, twin.raw_mean, twin.raw_var = self.count, self.raw_mean, self.raw_var
        twin.computed = self.computed
        return twin

    @classmethod
    def average(cls, states: list[_State]) -> _State:
        """Return the state whose every number is the average of those of several (clause 21.4)."""
        mean = states[0].copy()
        mean.count = sum(state.count for state in states) // len(states)
        for name in ("mean", "var", "raw_mean", "raw_var"):
            columns = zip(*(getattr(state, name) for state in states), strict=True)
            setattr(mean, name, [mp.fsum(values) / len(states) for values in columns])
        mean.computed = (mean.mean, mean.var)
        return mean

    def update(self, moments: list[tuple[Any, Any]], n: int) -> None:
        self.count += 1
        means = [mean for mean, _ in moments]
        estimates = [self.estimate(var, n) for _, var in moments]
        mean, self.raw_mean = self.blend(self.mean, self.raw_mean, means)
        var, self.raw_var = self.blend(self.var, self.raw_var, estimates)
        self.computed = (mean, var)
        self.mean, self.var = self.stored(mean), self.stored(var)

    def stored(self, values: Channel) -> Channel:
        """Return what a state keeps that has fewer bits than it is computed in (clause 13.3)."""
        dtype = self.case.layer.param_dtype
        sixteen = dtype in ("float16", "bfloat16") and self.dialect.state_dtype == "parameters"
        if self.dialect.first_update == "debias" or not (sixteen or (dtype, self.case.dtype) == ("float32", "float64")):
            return values
        kept = np.dtype(getattr(ml_dtypes, dtype, dtype))
        return [_exact(np.float64(value).astype(kept)) for value in values]

    def estimate(self, var: Any, n: int) -> Any:
        total, option = var * n, self.dialect.running_variance
        left = n - 1 - mpf(self.case.epsilon)
        over_epsilon = mpf(n) / left if left else mp.inf
        if option == "population":
            return var
        if option == "sample":
            return total / (n - 1)
        if option == "over-n-1-epsilon":
            return var * over_epsilon
        return total / (n - 1) * over_epsilon

    def blend(self, old: Channel, raw: Channel, new: Channel) -> tuple[Channel, Channel]:
        if self.case.momentum == "cumulative":
            # The plain average of what came so far: the sum is one batch longer.
            return [(o * (self.count - 1) + b) / self.count for o, b in zip(old, new, strict=True)], raw
        given = mpf(float(self.case.momentum))
        weight, kept = (given, 1 - given) if self.dialect.momentum == "new" else (1 - given, given)
        raw = [kept * r + weight * b for r, b in zip(raw, new, strict=True)]
        if self.dialect.first_update == "debias" and weight != 0:
            return [r / (1 - kept**self.count) for r in raw], raw
        if self.dialect.first_update == "replace" and self.count == 1:
            return list(new), raw
        return [kept * o + weight * b for o, b in zip(old, new, strict=True)], raw


@dataclass
class _Line:
    """One channel on the line ``x + t v_x``, ``gamma + t v_gamma``, ``dy + t v_dy``, each where it is asked for."""

    layer: _Layer
    c: int
    xs: Channel
    dys: Channel
    statistics: tuple[Any, Any] | None
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
        loss = lambda x: _dot(self.layer.scaled(_with(xs, k, x), self.statistics, gamma, beta), dys)  # noqa: E731
        return _slope(loss, xs[k], self.unit)

    def by_gamma(self, t: Any, moving: Sequence[str]) -> Any:
        xs, (gamma,), dys = self.at("x", t, moving), self.at("gamma", t, moving), self.at("dy", t, moving)
        beta = self.layer.beta[self.c]
        return _slope(lambda g: _dot(self.layer.scaled(xs, self.statistics, g, beta), dys), gamma, mpf(1))


def _with(xs: Channel, k: int, x: Any) -> Channel:
    return [*xs[:k], x, *xs[k + 1 :]]


def _moments(xs: Channel, counts: list[bool] | None = None) -> tuple[Any, Any]:
    if counts is not None:
        xs = [x for x, counted in zip(xs, counts, strict=True) if counted]
    mean = mp.fsum(xs) / len(xs)
    return mean, mp.fsum((x - mean) ** 2 for x in xs) / len(xs)


def _dot(ys: Channel, dys: Channel) -> Any:
    return mp.fsum(y * dy for y, dy in zip(ys, dys, strict=True))


def _slope(loss: Callable[[Any], Any], at: Any, unit: Any) -> Any:
    """Return the central difference of ``loss``, its argument being of the size of ``unit``."""
    width = WIDTH * unit
    return (loss(at + width) - loss(at - width)) / (2 * width)


def _by_channel(array: Any) -> _Batch:
    rest = [range(length) for length in (array.shape[0], *array.shape[2:])]
    indices = [[(i, c, *k) for i, *k in product(*rest)] for c in range(array.shape[1])]
    return _Batch([[_exact(array[i]) for i in channel] for channel in indices], indices)


def _exact(value: Any) -> Any:
    """Return a number of any dtype up to float64 without rounding."""
    return mpf(float(np.float64(value)))


def _sample(case_id: str, number: int, name: str, c: int, n: int) -> list[int]:
    if n <= SAMPLES:
        return list(range(n))
    digest = hashlib.sha256(f"{case_id} {number} {name} {c}".encode()).digest()
    return sorted({int.from_bytes(digest[4 * k : 4 * k + 4], "big") % n for k in range(SAMPLES)})
