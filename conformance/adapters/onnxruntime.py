"""ONNX Runtime: BatchNormalization of opset 15 by its CPU provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Implementation, LayerConfig, State
from conformance.adapters.shared import onnx as shared
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

_OPSET = 15


class Adapter(BaseAdapter):
    """A session per call: the state is in the model."""

    def describe(self) -> Implementation:
        """Name the runtime, ONNX and the opset."""
        return Implementation(
            name="onnxruntime", versions={"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
            settings={"opset": str(_OPSET), "provider": "CPUExecutionProvider"},
            documentation="https://onnx.ai/onnx/operators/onnx__BatchNormalization.html",
        )  # fmt: skip

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance, as the operator's text does."""
        return shared.DIALECT

    def unsupported(self, case: Case) -> str | None:
        """Refuse what a graph cannot be asked, and what the provider has no kernel for."""
        if case.dtype == "bfloat16":
            return "the CPU provider has no BatchNormalization for bfloat16"
        return shared.unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> shared.Layer:
        """Hold what becomes the model's initializers."""
        return shared.Layer.of(layer, state, _OPSET, _run)


def _run(model: onnx.ModelProto, x: Array) -> Sequence[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it says is in the error, too
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given: Any = session.run(None, {"X": np.ascontiguousarray(x)})
    return tuple(given)
