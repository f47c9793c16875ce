"""Gradients checked in a second: the suite beside ``jax.test_util.check_grads``.

Ours: the default set's cases on palette shapes that ask for gradients, put to ``flax-linen`` in a host; the
gradients judged (``dx``, ``dgamma``, ``dbeta``: an array each), over the whole time of the cells. Theirs:
``check_grads`` of order 1 in reverse mode on the same layer in train, float64, shapes (5, 5, 5), (3, 2, 3, 4) and
(2, 3), in ``x``, scale and bias; a call compares one directional derivative with a difference, and counts as the
three gradients that it is about. Both compile before the first measured round. Three pairs of rounds, in turn; the
median of their ratios.
"""

from __future__ import annotations

import time

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.test_util import check_grads

from benchmarks.bench.common import Timed, Work, palette_cases
from benchmarks.bench.gradcheck import GRADIENTS, ours_over

_SHAPES = ((5, 5, 5), (3, 4, 3, 2), (2, 3))


def measure() -> dict[str, float]:
    """Return the figure."""
    jax.config.update("jax_enable_x64", True)
    cases = [case for case in palette_cases() if any(step.gradients for step in case.steps)]

    def counted(cells: list[Timed]) -> float:
        return sum(row.name in GRADIENTS and bool(row.dtype) for one in cells for row in one.cell.row.quantities)

    found, _, _ = ours_over(_theirs, cases[::12], lambda _: True, "flax-linen", counted)
    return {"check_grads_rate_ratio": found}


def _theirs() -> Work:
    layer = nn.BatchNorm(use_running_average=False, dtype=jnp.float64, param_dtype=jnp.float64)
    seconds = 0.0
    for shape in _SHAPES:
        x = jax.random.normal(jax.random.key(0), shape, jnp.float64)
        variables = layer.init(jax.random.key(1), x)

        def output(x: object, params: object, variables: dict[str, object] = variables) -> object:
            return layer.apply({**variables, "params": params}, x, mutable=["batch_stats"])[0]

        start = time.perf_counter()
        check_grads(output, (x, variables["params"]), order=1, modes=["rev"])
        seconds += time.perf_counter() - start
    return Work(3 * len(_SHAPES), seconds)
