"""A model of an implementation: what it declares, how that is known, and of which cases it may speak."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from conformance.adapters.contract import Implementation, LayerConfig
from conformance.adapters.numpy import Adapter
from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.corpus.layer import Dtype
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected, Same
from conformance.definition.rules import Rules
from conformance.engine.cell import Cell, cell_of, question_of
from conformance.host.answers import observation_of
from conformance.host.frames import Frame
from conformance.host.messages import Run
from conformance.host.observation import Observation
from conformance.host.play import play

__all__ = ["AREAS", "Evidence", "Model", "modelled_cells", "speaks_of"]

#: Areas of the definition that formulas and dialect settle. Of rounding, 16 bits, memory, kernels, and
#: what the definition is silent about, only an execution can tell; so it is with higher derivatives.
AREAS = frozenset({"1", "2", "3", "4", "5", "6", "7", "8", "10", "11", "21"})

#: How something is known: read in the source, said by the vendor, published by a user, or concluded from numbers.
Kind: TypeAlias = Literal["source", "docs", "thread", "inferred"]


@dataclass(frozen=True)
class Evidence:
    """What a choice rests on."""

    about: str
    kind: Kind
    text: str
    link: str = ""


@dataclass(frozen=True)
class Model:
    """A system as it is known; ``dialect_for`` and ``lacks`` are what an adapter would declare."""

    name: str
    version: str
    documentation: str
    dialect_for: Callable[[LayerConfig], Dialect]
    lacks: Callable[[Case], str | None]
    evidence: tuple[Evidence, ...]

    @property
    def implementation(self) -> Implementation:
        """Return the column: the version is the one that the evidence is of."""
        return Implementation(name=self.name, versions={self.name: self.version}, documentation=self.documentation)

    def option(self, choice: str) -> str:
        """Return what is declared for a choice, by dtype of the layer where it depends on that."""
        kinds: tuple[Dtype, ...] = ("float32", "float64")
        found = {kind: getattr(self.dialect_for(_layer_of(kind)), choice) for kind in kinds}
        if len(set(found.values())) == 1:
            return f"`{found['float32']}`"
        return ", ".join(f"{kind}: `{option}`" for kind, option in found.items())

    def adapter(self, layer: LayerConfig) -> Adapter:
        """Return the formulas under the dialect that is declared for such a layer."""
        return _Predicting(Rules(dialect=self.dialect_for(layer)))

    def observe(self, case: Case) -> Observation:
        """Return what the declared dialect predicts, by the oracle's formulas in the precision of the case."""
        dialect = self.dialect_for(case.layer)
        lacking = self.lacks(case)
        if lacking is not None:
            return Observation(dialect, unsupported=lacking)
        ran, yielded = play(self.adapter(case.layer), Run.of(case), generate(case))
        return observation_of(ran, Frame(b"", yielded))

    def observe_apart(self, case: Case) -> None:
        """Return nothing: a prediction is the same each time."""


def _layer_of(dtype: Dtype) -> LayerConfig:
    return LayerConfig(
        channels=1, rank=2, momentum=0.1, epsilon=1e-5, gamma=True, beta=True, tracked=True, dtype=dtype,
        param_dtype=dtype, channel_axis="native",
    )  # fmt: skip


class _Predicting(Adapter):
    """The canary under the dialect of a model, which it declares."""

    def dialect_for(self, layer: LayerConfig) -> Dialect:  # noqa: ARG002
        """Return the dialect that it computes by."""
        return self.rules.dialect


def speaks_of(model: Model, case: Case) -> bool:
    """Tell whether formulas and dialect settle every quantity of the case: of any other there is no cell."""
    if case.open or case.tags or not {clause.partition(".")[0] for clause in case.clauses} <= AREAS:
        return False
    if case.dtype != case.layer.param_dtype or case.dtype not in ("float32", "float64"):
        return False
    if any(step.masked or step.replicas or step.rejected or step.differentiates for step in case.program):
        return False
    if any(step.folded or step.exported for step in case.program):
        return False
    if model.lacks(case) is not None:
        return True
    predicted = question_of(case).predict(Rules(dialect=model.dialect_for(case.layer)))
    return all(isinstance(one, Expected | Same) for one in predicted.values())


def modelled_cells(cases: Iterable[Case], models: Iterable[Model]) -> Iterator[Cell]:
    """Yield a cell for each case that a model speaks of, its column marked as modelled."""
    cases = tuple(cases)
    for model in models:
        for case in cases:
            if speaks_of(model, case):
                cell = cell_of(case, model)
                column = msgspec.structs.replace(cell.implementation, provenance="modelled")
                row = msgspec.structs.replace(cell.row, seconds=0.0)
                yield Cell(row, column)
