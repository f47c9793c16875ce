"""How much work a case is, and how much longer than others it may take for that."""

from __future__ import annotations

from math import prod

from conformance.corpus.case import Case
from conformance.corpus.shape import parse_shape
from conformance.corpus.step import Step

__all__ = ["longer", "work"]

#: Operations that a batch norm does with one value, forward or backward, roughly.
_EACH = 10
#: Operations that any case may take in the time limit: few, for a framework that dispatches each on a busy machine.
_ORDINARY = 2.5e9


def longer(case: Case) -> float:
    """Return how many times the limit a case may take: once up to 2.5e9 operations, then in proportion.

    Of the suite's own cases only the convergence of the thread's network has more.
    """
    return max(1.0, work(case) / _ORDINARY)


def work(case: Case) -> int:
    """Return about how many multiplications the calls of a case take; a derivative counts as another call."""
    return sum(_calls(step) for step in case.program) * _of_call(case)


def _calls(step: Step) -> int:
    if step.converge is not None:
        return step.times + step.times // step.every + 1
    if step.mode is None and step.backward is None and step.through_update is None:
        return 0
    derivatives = bool(step.gradients) + len(step.hvp) * 3 + step.third * 7 + sum(2 * order for order in step.jvp)
    return 1 + derivatives


def _of_call(case: Case) -> int:
    shape = parse_shape(case.shape)
    if case.network is None:
        return _EACH * prod(shape)
    rows, features = shape
    dense = sum(units * inputs for units, inputs in case.network.dense(features))
    return rows * (dense + _EACH * case.network.channels)
