"""ONNX Runtime: BatchNormalization of opset 15 by its CPU provider."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import onnx as shared
from conformance.adapters.shared import onnxruntime as runtime
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

    def defaults(self) -> Defaults:
        """Read the defaults of the operator's schema."""
        return shared.defaults(_OPSET)

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance, as the operator's text does."""
        return shared.DIALECT

    def unsupported(self, case: Case) -> str | None:
        """Refuse what a graph cannot be asked, and what the provider has no kernel for."""
        if case.dtype == "bfloat16":
            return "the CPU provider has no BatchNormalization for bfloat16"
        if case.layer.rank > 2 and case.dtype == "float64" and any(step.folded for step in case.steps):
            return "the CPU provider has no Conv for float64"
        if case.layer.rank == 2 and any(step.folded == "biased" for step in case.steps):
            return "the optimiser folds into a MatMul without a bias, and into no Gemm"
        return shared.unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Hold what becomes the model's initializers."""
        return _Layer.of(layer, state, _OPSET, _run)


class _Layer(shared.Layer):
    def fold(self, x: Array, kernel: Array, bias: Array | None) -> Array:
        """Load a model of both layers, which the graph optimiser folds; that it did is proved."""
        model = _with_linear(self.model("evaluate"), kernel, bias, groups=x.shape[1] // kernel.shape[1])
        chosen = runtime.options()
        with tempfile.TemporaryDirectory() as folder:
            optimised = Path(folder) / "optimised.onnx"
            chosen.optimized_model_filepath = str(optimised)
            (y,) = runtime.run(model.SerializeToString(), x, chosen)
            left = [node.op_type for node in onnx.load(optimised).graph.node]
        if "BatchNormalization" in left:
            raise RuntimeError(f"the optimiser left the batch norm where it was: {', '.join(left)}")
        return y


def _with_linear(model: onnx.ModelProto, kernel: Array, bias: Array | None, *, groups: int) -> onnx.ModelProto:
    """Return the model with a linear layer before its batch norm."""
    (norm,), extents = model.graph.node, kernel.shape[2:]
    given = {"W": kernel if extents else kernel.T} | ({} if bias is None else {"b": bias})
    if extents:
        linear = [helper.make_node("Conv", ["X", *given], ["Z"], pads=[1, 1] * len(extents), group=groups)]
    elif bias is None:
        linear = [helper.make_node("MatMul", ["X", "W"], ["Z"])]
    else:
        linear = [helper.make_node("Gemm", ["X", "W", "b"], ["Z"])]
    norm.input[0] = "Z"
    del model.graph.node[:]
    model.graph.node.extend([*linear, norm])
    model.graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in given.items())
    onnx.checker.check_model(model, full_check=True)
    return model


def _run(model: onnx.ModelProto, x: Array) -> Sequence[Array]:
    return runtime.run(model.SerializeToString(), x)
