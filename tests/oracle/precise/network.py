"""A stack of dense, batch norm and GELU through the steps of a case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mpmath import mp, mpf

from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect

from .arithmetic import WIDTH_ALONG, Answer, Channel, dot, exact, exacts, moments_of
from .linear import dense_rows, gelu
from .state import State, epsilon_of


class Network:
    """A stack of dense, batch norm and GELU; derivatives are differences of ``sum(y * dy)``, at a few elements."""

    def __init__(self, case: Case, arrays: Mapping[str, Any], dialect: Dialect) -> None:
        assert case.network is not None
        self.case, self.arrays, self.size = case, arrays, case.network.width
        self.epsilon = epsilon_of(case, dialect)
        count = range(case.network.blocks)
        self.dense = [
            ([[exact(v) for v in row] for row in arrays[f"kernel_{k + 1}"]], exacts(arrays[f"bias_{k + 1}"]))
            for k in range(case.network.blocks + 1)
        ]
        names = ("gamma", "beta", "running_mean", "running_var")
        parts = {name: np.split(arrays[name], case.network.blocks) for name in names}
        self.affine = [(exacts(parts["gamma"][k]), exacts(parts["beta"][k])) for k in count]
        self.states = [
            State(case, dialect, exacts(parts["running_mean"][k]), exacts(parts["running_var"][k])) for k in count
        ]

    def answers(self) -> Iterator[Answer]:
        saved: dict[str, list[State]] = {}
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
        xs, mode = [exacts(row) for row in self.arrays[f"x:{step.labels[0]}"]], step.mode or "train"
        before = self.states
        ys = self.forward(xs, mode, move=not step.hvp)
        if "y" in step.observe:
            yield from ((number, "y", (i, c), y) for i, row in enumerate(ys) for c, y in enumerate(row))
        if not step.gradients and not step.hvp:
            return
        self.states, after = before, self.states
        dys, width = [exacts(row) for row in self.arrays[f"dy:{number}"]], WIDTH_ALONG

        def loss(i: int, c: int, h: Any, t: Any) -> Any:
            lines = zip(xs, direction, strict=True)
            moved = [[x + t * v for x, v in zip(row, along, strict=True)] for row, along in lines]
            moved[i][c] += h
            pairs = zip(self.forward(moved, mode, move=False), dys, strict=True)
            return mp.fsum(dot(row, upstream) for row, upstream in pairs)

        zero = [[mpf(0)] * len(row) for row in xs]
        direction = [exacts(row) for row in self.arrays[f"v_x:{number}"]] if step.hvp else zero
        for i, c in ((0, 0), (len(xs) // 2, len(xs[0]) - 1)):
            if step.hvp:
                slopes = [loss(i, c, width, t) - loss(i, c, -width, t) for t in (width, -width)]
                yield number, "hvp_x", (i, c), (slopes[0] - slopes[1]) / (4 * width**2)
            else:
                yield number, "dx", (i, c), (loss(i, c, width, 0) - loss(i, c, -width, 0)) / (2 * width)
        self.states = after

    def converged(self, number: int, step: Step, label: str) -> Iterator[Answer]:
        xs = [exacts(row) for row in self.arrays[f"x:{label}"]]
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
            rows = dense_rows(rows, *dense)
            columns = list(zip(*rows, strict=True))
            moments = [moments_of(list(column)) for column in columns]
            new = state.copy()
            if mode == "train" and move:
                new.update(moments, len(rows))
            states.append(new)
            used = moments if mode == "train" else list(zip(state.mean, state.var, strict=True))
            roots = [mp.sqrt(var + self.epsilon) for _, var in used]
            rows = [
                [gelu(gamma[c] * (z - used[c][0]) / roots[c] + beta[c]) for c, z in enumerate(row)] for row in rows
            ]
        self.states = states
        return dense_rows(rows, *self.dense[-1])
