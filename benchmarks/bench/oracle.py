"""The oracle beside PyTorch: forward and backward in train of a float64 input of (16, 64, 56, 56), on one thread.

Both get ``x`` and ``dy`` as arrays ``(N, C, H, W)`` and give ``y``, ``dx``, ``dgamma`` and ``dbeta`` in that
layout, and the moved state: the oracle by the formulas of ``conformance.definition``, a few channels at a time as it
takes all that is large, PyTorch by ``BatchNorm2d``.
The figure is the median of the ratios of 15 pairs, measured in turn. ``oracle_with_bounds_over_torch_time`` is that
of a whole prediction, as a cell needs it: the same values, and for each element the tight and the plain bound of
its error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import msgspec
import numpy as np
import torch

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.definition.batch_norm import Parameters, State, by_channel, canonical, column, forward
from conformance.definition.blocks import blocks
from conformance.definition.dialect import Dialect
from conformance.definition.gradients import gradients
from conformance.definition.rules import Rules
from conformance.definition.running_state import Batch, update
from conformance.definition.simulate import simulate

_ROUNDS, _RULES = 15, Rules(dialect=Dialect())
_SHAPE = (16, 64, 56, 56)
_CASE = msgspec.convert(
    {"id": "bench/oracle", "fact": "It is timed.", "clauses": ["1.1"], "shape": "16x64x56x56",
     "steps": [{"train": "a", "gradients": ["x", "gamma", "beta"]}]}, Case
)  # fmt: skip


def measure() -> dict[str, float]:
    """Return the figures."""
    torch.set_num_threads(1)
    arrays = generate(_CASE)
    x, dy = arrays["x:a"].astype(np.float64), arrays["dy:1"].astype(np.float64)
    layer = torch.nn.BatchNorm2d(_SHAPE[1]).double()

    def pytorch() -> None:
        given = torch.from_numpy(x).requires_grad_()
        layer(given).backward(torch.from_numpy(dy))

    return {
        "oracle_over_torch_time": _ratio(lambda: _oracle(x, dy), pytorch, _ROUNDS),
        "oracle_with_bounds_over_torch_time": _ratio(lambda: simulate(_CASE, arrays, _RULES), pytorch, 3),
    }


def _oracle(x: np.ndarray, dy: np.ndarray) -> None:
    y, dx = (np.empty((_SHAPE[1], x.size // _SHAPE[1])) for _ in range(2))
    mean, var, dgamma, dbeta = (np.empty((_SHAPE[1], 1)) for _ in range(4))
    ones, zeros = (column(None, _SHAPE[1], np.float64, one) for one in (1, 0))
    for channels in blocks(_SHAPE):
        parameters, state = Parameters(ones[channels], zeros[channels], 1e-5), State(zeros[channels], ones[channels])
        rows, part = by_channel(x[:, channels]), x[:, channels].shape
        call = forward(rows, "train", part, parameters, state, state, _RULES, out=y[channels])
        found = gradients(call, by_channel(dy[:, channels]), _RULES, out=dx[channels])
        mean[channels], var[channels] = call.batch_mean, call.batch_var
        dgamma[channels], dbeta[channels] = found["gamma"], found["beta"]
    update(State(zeros, ones), Batch(mean, var, call.count, _SHAPE[0], 1e-5), 0.1, _RULES)
    canonical(y, _SHAPE), canonical(dx, _SHAPE)


def _ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> float:
    ours(), theirs()
    return median(_seconds(ours) / _seconds(theirs) for _ in range(rounds))


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start
