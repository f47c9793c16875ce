"""What is recorded of ONNX' reference evaluator is the evaluator's: shown with plain NumPy, without the oracle."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

onnx: Any = pytest.importorskip(
    "onnx", reason="the deviations of ONNX' reference evaluator are shown where it is installed: pip install onnx"
)
from onnx import helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

EPSILON = 1e-3
X = np.random.default_rng(20150211).standard_normal((7, 3)).astype(np.float32)
GAMMA, BETA = np.ones(3, np.float32), np.zeros(3, np.float32)
MEAN, VAR = np.array([0.5, -1.0, 0.25], np.float32), np.array([0.25, 4.0, 1.0], np.float32)


def evaluated(opset: int, dtype: Any = np.float32, **attributes: Any) -> Any:
    """Return the one output of a node for inference, its input, parameters and statistics of that dtype."""
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=EPSILON, **attributes)
    held = {"s": GAMMA.astype(dtype), "b": BETA.astype(dtype), "m": MEAN.astype(dtype), "v": VAR.astype(dtype)}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", kind, [7, 3])],
        [helper.make_tensor_value_info("y", kind, [7, 3])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return ReferenceEvaluator(model).run(None, {"x": X.astype(dtype)})[0]


@pytest.mark.parametrize("attributes", [{}, {"momentum": 0.5}], ids=["default momentum", "momentum 0.5"])
def test_opset_9_blends_the_batch_into_an_evaluation(attributes: dict[str, float]) -> None:
    """With one output, opset 9 normalises with updated statistics; opset 14 with those that it is given."""
    kept = attributes.get("momentum", 0.9)
    mean, var = kept * MEAN + (1 - kept) * X.mean(0), kept * VAR + (1 - kept) * X.var(0)
    asked, updated = ((X - m) / np.sqrt(v + EPSILON) for m, v in ((MEAN, VAR), (mean, var)))
    np.testing.assert_allclose(evaluated(9, **attributes), updated, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(evaluated(14, **attributes), asked, rtol=1e-5, atol=1e-6)
    assert abs(asked - updated).max() > 0.1


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_opset_14_rounds_as_opset_15(dtype: Any) -> None:
    """In 16 bits opset 14 gives what opset 15 gives, bit for bit, which is not the formula rounded once."""
    found = evaluated(14, dtype)
    assert found.tobytes() == evaluated(15, dtype).tobytes()
    x, mean, var = (one.astype(dtype).astype(np.float64) for one in (X, MEAN, VAR))
    assert found.tobytes() != ((x - mean) / np.sqrt(var + EPSILON)).astype(dtype).tobytes()


def test_opset_9_blends_the_batch_into_an_evaluation_of_float16() -> None:
    """In float16 too: its attributes are float32, and so is what it computes with them before it rounds the output."""
    x, mean, var = (one.astype(np.float16) for one in (X, MEAN, VAR))
    kept = np.float32(0.9)
    mean, var = mean * kept + x.mean(0) * (1 - kept), var * kept + x.var(0) * (1 - kept)
    expected = ((x - mean) / np.sqrt(var + np.float32(EPSILON))).astype(np.float16)
    np.testing.assert_array_equal(evaluated(9, np.float16), expected)
