"""Gradient elements checked in a second: the suite beside ``torch.autograd.gradcheck``.

Ours: every palette shape, in train and in evaluate, in float32 and float64, put to ``torch`` in a host with the
gradients of x, gamma and beta asked for; the elements of ``dx``, ``dgamma`` and ``dbeta`` that were judged, over
the whole time of the cells, output and state included. Theirs: PyTorch's own OpInfo samples of
``nn.functional.batch_norm`` in float64, with the default options; the elements of the inputs that a gradient is
checked for, over the time. Five pairs of rounds, measured in turn; the median of their ratios.

What a cell costs hardly depends on its size, what gradcheck costs grows with the square of it, so that the shapes
decide. ``gradcheck_corpus_rate_ratio`` is the same with the cases that the default set asks, most of which are as
small as will tell a wrong formula from rounding: every third that asks for gradients.
``gradcheck_jacobian_rate_ratio`` counts theirs otherwise, every entry of the Jacobian: elements of the input times
elements of the output.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import msgspec
import torch
from torch.testing._internal.common_methods_invocations import op_db

from benchmarks.bench.common import Timed, Work, asked, elements, forget, palette_cases, ratio, recorder
from conformance.corpus.case import Case
from conformance.corpus.palette import PALETTE
from conformance.host.session import HostSession

GRADIENTS = frozenset({"dx", "dgamma", "dbeta"})


def measure() -> dict[str, float]:
    """Return the figures."""
    torch.set_num_threads(1)
    entries: list[float] = []

    def theirs() -> Work:
        work, jacobian = checked(torch.autograd.gradcheck)
        entries.append(jacobian / work.seconds)
        return work

    asked_for = [case for case in palette_cases() if any(step.gradients for step in case.steps)]
    of_corpus, _, _ = ours_over(theirs, asked_for[::3], lambda row: row.name in GRADIENTS)
    of_elements, own, _ = ours_over(theirs, _plain_cases(), lambda row: row.name in GRADIENTS)
    return {
        "gradcheck_rate_ratio": of_elements,
        "gradcheck_corpus_rate_ratio": of_corpus,
        "gradcheck_jacobian_rate_ratio": own / sorted(entries)[len(entries) // 2],
        "gradient_elements_per_second": own,
    }


def _plain_cases() -> list[Case]:
    """Return the plain question of every palette shape."""
    made = []
    for shape, mode, dtype in product(PALETTE, ("train", "evaluate"), ("float32", "float64")):
        step = {mode: "a", "gradients": ["x", "gamma", "beta"]}
        written = {"id": f"bench/{mode}[shape={shape},dtype={dtype}]", "fact": "It is timed.", "clauses": ["6.1"],
                   "shape": shape, "dtype": dtype, "steps": [step]}  # fmt: skip
        made.append(msgspec.convert(written, Case))
    return made


def ours_over(
    theirs: Callable[[], Work], cases: Sequence[Case], wanted: Callable[[Any], bool], adapter: str = "torch",
    counted: Callable[[list[Timed]], float] | None = None,
) -> tuple[float, float, float]:  # fmt: skip
    """Return the ratio of the suite's rate to ``theirs``, and both; predictions are made anew in each round."""
    with HostSession(adapter) as session:

        def ours() -> Work:
            forget()
            with recorder(cases) as results:
                cells = list(asked(cases, session, results))
            checked = elements(cells, wanted) if counted is None else counted(cells)
            return Work(checked, sum(one.seconds for one in cells))

        return ratio(ours, theirs)


def checked(check: Callable[..., bool]) -> tuple[Work, float]:
    """Run a check of autograd on each sample; return the elements of the inputs checked, and the Jacobian's entries."""
    checked_elements, entries, seconds = 0, 0, 0.0
    for function, inputs in _samples():
        start = time.perf_counter()
        if not check(function, inputs):
            raise RuntimeError("PyTorch's own samples fail its own check")
        seconds += time.perf_counter() - start
        size = sum(one.numel() for one in inputs)
        checked_elements += size
        entries += size * int(function(*inputs).numel())
    return Work(checked_elements, seconds), entries


def _samples() -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Yield each sample as a function of the inputs that take a gradient."""
    found = next(op for op in op_db if op.name == "nn.functional.batch_norm")
    for sample in found.sample_inputs("cpu", torch.float64, requires_grad=True):
        given = (sample.input, *sample.args)
        tensors = [i for i, one in enumerate(given) if isinstance(one, torch.Tensor) and one.requires_grad]
        at = [i for i in tensors if i not in {1, 2}]

        def function(*inputs: Any, given: Any = given, at: list[int] = at, keywords: Any = sample.kwargs) -> Any:
            # Running statistics are written to: each call gets its own.
            whole = [one.detach().clone() if i in (1, 2) and one is not None else one for i, one in enumerate(given)]
            for i, one in zip(at, inputs, strict=True):
                whole[i] = one
            return torch.nn.functional.batch_norm(*whole, **keywords)

        if all(given[i].numel() for i in at):
            yield function, tuple(given[i] for i in at)
