"""What folding and exporting by PyTorch do beside the definition, shown without the oracle."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="torch is not installed: pip install 'batchnorm-conformance[torch]'")

X = np.random.default_rng(5).normal(2.0, 3.0, size=(6, 3))
MEAN, VAR = np.array([0.5, -1.0, 0.25]), np.array([0.25, 4.0, 1.0])


def module(mode: str) -> Any:
    made = torch.nn.BatchNorm1d(3, eps=1e-3, dtype=torch.float64).train(mode == "train")
    with torch.no_grad():
        made.running_mean.copy_(torch.from_numpy(MEAN))
        made.running_var.copy_(torch.from_numpy(VAR))
    return made


def exported(mode: str, **options: Any) -> tuple[Any, Any, Any]:
    """Export a module; return its model, the output of that on ``X``, and the module."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    made, file = module(mode), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(made, (torch.from_numpy(X),), file, **options)
    session = runtime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    return onnx.load_from_string(file.getvalue()), session.run(None, {session.get_inputs()[0].name: X})[0], made


def test_the_exported_epsilon_is_a_float32_number() -> None:
    """The model of a float64 module adds the float32 number next to its epsilon, and nothing else is different."""
    _, y, _ = exported("evaluate", dynamo=True, verbose=False)
    np.testing.assert_allclose(y, (X - MEAN) / np.sqrt(VAR + np.float64(np.float32(1e-3))), rtol=1e-13, atol=1e-14)
    assert np.abs(y - (X - MEAN) / np.sqrt(VAR + 1e-3)).max() > 1e-9


def test_exported_in_train_it_evaluates() -> None:
    """The model of a module in train normalises with the running statistics, and the module keeps them."""
    _, y, made = exported("train", dynamo=True, verbose=False)
    np.testing.assert_allclose(y, (X - MEAN) / np.sqrt(VAR + 1e-3), rtol=1e-6)
    np.testing.assert_array_equal(made.running_mean.numpy(), MEAN)


def test_the_older_exporter_keeps_the_mode_and_moves_the_state() -> None:
    """Asked to preserve train, the exporter by TorchScript gives batch statistics, and tracing moves the module's."""
    _, y, made = exported("train", dynamo=False, training=torch.onnx.TrainingMode.PRESERVE)
    np.testing.assert_allclose(y, (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-3), rtol=1e-6)
    np.testing.assert_allclose(made.running_mean.numpy(), 0.9 * MEAN + 0.1 * X.mean(0), rtol=1e-12)


@pytest.mark.parametrize("lacking", ["weight", "bias"])
def test_a_dense_layer_takes_no_norm_without_gamma_or_beta(lacking: str) -> None:
    """``fuse_linear_bn_eval`` fails on what ``fuse_conv_bn_eval`` folds (pytorch/pytorch#122183)."""
    fuse = torch.nn.utils.fusion
    norms = [kind(3).eval() for kind in (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.register_parameter(lacking, None)
    with pytest.raises(TypeError, match="NoneType"):
        fuse.fuse_linear_bn_eval(torch.nn.Linear(3, 3).eval(), norms[0])
    assert fuse.fuse_conv_bn_eval(torch.nn.Conv2d(3, 3, 1).eval(), norms[1]).bias.shape == (3,)
