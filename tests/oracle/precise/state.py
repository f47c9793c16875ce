"""The running statistics, by their own recurrence."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from mpmath import mp, mpf

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

from .arithmetic import Channel, exact

#: The options of `constants` in which epsilon is a float32 number.
_EPSILON = ("float32", "float32 each", "float32 both", "float32 new")


def epsilon_of(case: Case, dialect: Dialect) -> Any:
    return _float32(case.epsilon) if dialect.constants in _EPSILON else mpf(case.epsilon)


class State:
    """The running statistics: clauses 3.1 to 3.5, each option of each choice as its own words have it."""

    def __init__(self, case: Case, dialect: Dialect, mean: Channel, var: Channel) -> None:
        self.case, self.dialect, self.mean, self.var = case, dialect, mean, var
        self.count = 0
        #: What a step reads, before it is stored.
        self.computed = (mean, var)
        # What debiasing divides: averages that start from nothing.
        self.raw_mean, self.raw_var = [mpf(0)] * len(mean), [mpf(0)] * len(mean)

    def copy(self) -> State:
        twin = State(self.case, self.dialect, self.mean, self.var)
        twin.count, twin.raw_mean, twin.raw_var = self.count, self.raw_mean, self.raw_var
        twin.computed = self.computed
        return twin

    def of(self, c: int) -> State:
        """Return a copy for one channel."""
        twin = self.copy()
        for name in ("mean", "var", "raw_mean", "raw_var"):
            setattr(twin, name, [getattr(self, name)[c]])
        twin.computed = (twin.mean, twin.var)
        return twin

    @classmethod
    def average(cls, states: list[State]) -> State:
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
        return [exact(np.float64(value).astype(kept)) for value in values]

    def estimate(self, var: Any, n: int) -> Any:
        total, option = var * n, self.dialect.running_variance
        left = n - 1 - epsilon_of(self.case, self.dialect)
        over_epsilon = mpf(n) / left if left else mp.inf
        if option == "population":
            return var
        if option == "sample":
            return total / (n - 1)
        if option == "over-n-1-epsilon":
            return var * over_epsilon
        return total / (n - 1) * over_epsilon

    def rounded(self, weight: Any, kept: Any) -> tuple[Any, Any]:
        """Return the weights of the batch and of the old state, as the option of `constants` keeps them."""
        option = self.dialect.constants
        if option == "own":
            return weight, kept
        if option == "float32 both":
            return _float32(weight), _float32(kept)
        if option in ("float32 new", "float32 momentum"):
            return _float32(weight), 1 - _float32(weight)
        rest = 1 - _float32(kept)
        return (_float32(rest) if option == "float32 each" else rest), _float32(kept)

    def blend(self, old: Channel, raw: Channel, new: Channel) -> tuple[Channel, Channel]:
        if self.case.momentum == "cumulative":
            # The plain average of what came so far: the sum is one batch longer.
            return [(o * (self.count - 1) + b) / self.count for o, b in zip(old, new, strict=True)], raw
        given = mpf(float(self.case.momentum))
        weight, kept = (given, 1 - given) if self.dialect.momentum == "new" else (1 - given, given)
        weight, kept = self.rounded(weight, kept)
        raw = [kept * r + weight * b for r, b in zip(raw, new, strict=True)]
        if self.dialect.first_update == "debias" and weight != 0:
            return [r / (1 - kept**self.count) for r in raw], raw
        if self.dialect.first_update == "replace" and self.count == 1:
            return list(new), raw
        return [kept * o + weight * b for o, b in zip(old, new, strict=True)], raw


def _float32(number: Any) -> Any:
    return mpf(float(np.float32(float(number))))
