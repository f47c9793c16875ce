"""ONNX: BatchNormalization by ``onnx.reference.ReferenceEvaluator``, one column per version of the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import onnx
from onnx.reference import ReferenceEvaluator

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import onnx as shared
from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect

__all__ = ["Opset9", "Opset14", "Opset15"]

_RELEASE = tuple(int(number) for number in onnx.__version__.split(".")[:2])


class _Adapter(BaseAdapter):
    """The evaluator on a model of ``opset``."""

    opset: ClassVar[int]

    def describe(self) -> Implementation:
        """Name ONNX, its version and the opset."""
        return Implementation(
            name=f"onnx-reference-{self.opset}", versions={"onnx": onnx.__version__},
            settings={"opset": str(self.opset)},
            documentation="https://onnx.ai/onnx/operators/onnx__BatchNormalization.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the operator's schema."""
        return shared.defaults(self.opset)

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance, as the operator's text does; NumPy keeps 1 - momentum in float32, too."""
        return replace(shared.DIALECT, constants="float32 each")

    def unsupported(self, case: Case) -> str | None:
        """Refuse what a graph cannot be asked, and types that the opset does not let differ."""
        if _RELEASE < (1, 18) and case.layer.param_dtype == "bfloat16":
            return "before onnx 1.18 the evaluator has a bfloat16 of its own, and takes no NumPy array of it"
        if case.dtype == "float16" and case.epsilon < 1e-6:
            return "the evaluator adds epsilon in 16 bits, and float16 has no such number"
        wider = case.dtype in ("float16", "bfloat16") and case.layer.param_dtype != case.dtype
        if wider and any(_reads_statistics(step) for step in case.steps):
            return "the evaluator computes 16-bit input in 16 bits, and gives the statistics so"
        if self.opset < 15 and case.layer.param_dtype != case.dtype:
            return f"in opset {self.opset} scale and offset have the type of the input"
        return shared.unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> shared.Layer:
        """Hold what becomes the model's initializers."""
        return shared.Layer.of(layer, state, self.opset, _run)


class Opset9(_Adapter):
    """The operator before it had a training mode: five outputs ask for one."""

    opset = 9

    def unsupported(self, case: Case) -> str | None:
        """Refuse training, whose outputs the evaluator does not give."""
        if any(step.mode == "train" or step.converge is not None for step in case.steps):
            return "the evaluator gives one of the five outputs that ask for training in opset 9"
        if "bfloat16" in (case.layer.dtype, case.layer.param_dtype):
            return "opset 9 takes float16, float and double: bfloat16 came with opset 14"
        return super().unsupported(case)


class Opset14(_Adapter):
    """The operator with a training mode."""

    opset = 14


class Opset15(_Adapter):
    """The operator with a training mode, its statistics of a type of their own."""

    opset = 15


def _reads_statistics(step: Step) -> bool:
    return step.mode == "evaluate" or not {"running_mean", "running_var"}.isdisjoint(step.observe)


def _run(model: onnx.ModelProto, x: Array) -> Sequence[Array]:
    given: Any = ReferenceEvaluator(model).run(None, {"X": x})
    return tuple(given)
