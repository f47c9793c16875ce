"""ONNX Runtime: evaluates a model on one input, by the CPU provider, in one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from conformance.adapters.contract import Array

__all__ = ["options", "run"]


def options() -> onnxruntime.SessionOptions:
    """Return options for a session that uses one thread and says what it has to say in errors."""
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 4
    return chosen


def run(model: bytes, x: Array, chosen: onnxruntime.SessionOptions | None = None) -> tuple[Array, ...]:
    """Return the outputs of a serialised model that has one input."""
    session = onnxruntime.InferenceSession(model, chosen or options(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    outputs: Any = session.run(None, {given.name: np.ascontiguousarray(x)})
    return tuple(outputs)
