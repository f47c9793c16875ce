"""What is recorded of ONNX' reference evaluator is the evaluator's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx: Any = pytest.importorskip(
    "onnx", reason="the deviations of ONNX' reference evaluator are shown where it is installed: pip install onnx"
)
from onnx import helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

EPSILON = 1e-3
X = np.random.default_rng(20150211).standard_normal((7, 3)).astype(np.float32)
MEAN, VAR = np.array([0.5, -1.0, 0.25], np.float32), np.array([0.25, 4.0, 1.0], np.float32)


def evaluated(opset: int, **attributes: Any) -> Any:
    """Return the one output of a node for inference."""
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=EPSILON, **attributes)
    held = {"s": np.ones(3, np.float32), "b": np.zeros(3, np.float32), "m": MEAN, "v": VAR}
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", kind, [7, 3])],
        [helper.make_tensor_value_info("y", kind, [7, 3])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return ReferenceEvaluator(model).run(None, {"x": X})[0]


@pytest.mark.parametrize("attributes", [{}, {"momentum": 0.5}], ids=["default momentum", "momentum 0.5"])
def test_opset_9_blends_the_batch_into_an_evaluation(attributes: dict[str, float]) -> None:
    """With one output, opset 9 normalises with updated statistics; opset 14 with those that it is given."""
    kept = attributes.get("momentum", 0.9)
    mean, var = kept * MEAN + (1 - kept) * X.mean(0), kept * VAR + (1 - kept) * X.var(0)
    asked, updated = ((X - m) / np.sqrt(v + EPSILON) for m, v in ((MEAN, VAR), (mean, var)))
    np.testing.assert_allclose(evaluated(9, **attributes), updated, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(evaluated(14, **attributes), asked, rtol=1e-5, atol=1e-6)
    assert abs(asked - updated).max() > 0.1
