"""Adapters as third parties would write them: the oracle's formulas, each with one thing about it."""

from __future__ import annotations

import os
import time

from conformance.adapters import numpy
from conformance.adapters.contract import Array, Implementation, LayerConfig, State
from conformance.adapters.shared import numpy_forward, numpy_layer
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.definition.rules import Rules
from conformance.definition.variants import apply


class Sound(numpy.Adapter):
    """Nothing is wrong with it."""

    declared = Dialect(statistics_gradient="leaf", update_gradient="differentiable")
    variants: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__(apply(self.variants, Rules(dialect=self.declared)))

    def describe(self) -> Implementation:
        return Implementation(name=type(self).__name__, versions={"third-party": "1.0"})

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        return self.declared


class MomentumSwapped(Sound):
    variants = ("momentum swapped",)


class Population(Sound):
    """It declares the population variance, and blends that in."""

    declared = Dialect(running_variance="population", statistics_gradient="leaf", update_gradient="differentiable")


class Stale(Population):
    """It declares the population variance, and blends in the sample variance."""

    variants = ("sample running variance",)


class _Misbehaves(Sound):
    """Trains well; what evaluating does is for others to say."""

    def evaluate(self) -> None:
        raise NotImplementedError("evaluating is not offered")

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        return _Layer(layer, state, self.rules, self.evaluate)


class _Layer(numpy_layer.Layer):
    def __init__(self, layer: LayerConfig, state: State, rules: Rules, evaluate: object) -> None:
        super().__init__(layer, state, rules)
        self.evaluate = evaluate

    def forward(self, x: Array, mode: str) -> numpy_forward.Forward:
        if mode == "evaluate":
            self.evaluate()
        return super().forward(x, mode)


class Lacks(_Misbehaves):
    """It says that it does not evaluate, and does not."""

    def unsupported(self, case: Case) -> str | None:
        return "it only trains" if case.steps[0].mode == "evaluate" else None


class Modest(Sound):
    """It says that it does not evaluate, and does."""

    def unsupported(self, case: Case) -> str | None:
        return "it only trains" if case.steps[0].mode == "evaluate" else None


class Dies(_Misbehaves):
    def evaluate(self) -> None:
        os._exit(7)


class NeverReturns(_Misbehaves):
    def evaluate(self) -> None:
        time.sleep(600)


class Careless(Sound):
    """Its adapter is at fault, not what it adapts."""

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        raise KeyError("dialect")
