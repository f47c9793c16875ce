"""A second oracle, in 80-digit arithmetic, written from docs/definition.md: it shares no line with the first.

It holds what the first could have got wrong: gradients are central differences of ``sum(y * dy)``, taken through
the statistics of the batch and through the update of the state; the state follows its own recurrence. Only where
a case is large are the gradients of ``x`` sampled, at elements that a hash of case, step and name picks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from mpmath import mp, mpf

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

from .arithmetic import Answer
from .layer import Layer
from .network import Network

#: Enough for third derivatives, which are differences of differences.
DIGITS = 80
#: What differences may leave of a zero.
OWN_ERROR = 1e-30


def answers(case: Case, arrays: Mapping[str, Any], dialect: Dialect) -> list[Answer]:
    """Return step, quantity, index and value of everything the definition determines of the case."""
    with mp.workdps(DIGITS):
        if case.network is not None:
            return list(Network(case, arrays, dialect).answers())
        layer = Layer(case, arrays, dialect)
        return [answer for number, step in enumerate(case.program, start=1) for answer in layer.take(number, step)]


def distance(value: Any, answer: Any) -> float:
    """Return how far a number, long double at most, is from an answer."""
    with mp.workdps(DIGITS):
        high = np.float64(value)
        if not np.isfinite(high) or not mp.isfinite(answer):
            same = mpf(float(high)) == answer or (np.isnan(high) and mp.isnan(answer))
            return 0.0 if same else math.inf
        return float(abs(mpf(float(high)) + mpf(float(value - high)) - answer))
