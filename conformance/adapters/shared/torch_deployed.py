"""What becomes of a module of PyTorch that is deployed: folded into the layer before it, or exported to ONNX."""

from __future__ import annotations

import io
import logging
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn.utils import fusion

from conformance.adapters.contract import Array
from conformance.adapters.shared.torch import ModuleLayer, to_numpy, to_tensor
from conformance.corpus.case import Case

__all__ = ["DeployedLayer", "cannot_deploy", "lacks_exporter"]

_CONVOLUTIONS: Any = {3: torch.nn.Conv1d, 4: torch.nn.Conv2d, 5: torch.nn.Conv3d}
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


class DeployedLayer(ModuleLayer):
    """A module with what PyTorch has for its deployment."""

    def fold(self, x: Array, kernel: Array, bias: Array | None) -> Array:
        """Fold the module by ``fuse_linear_bn_eval``, or ``fuse_conv_bn_eval``, and call what that returns."""
        units, features, *extents = kernel.shape
        has, dtype = bias is not None, to_tensor(kernel).dtype
        if extents:
            before = _CONVOLUTIONS[x.ndim](
                x.shape[1], units, 3, padding=1, groups=x.shape[1] // features, bias=has, dtype=dtype
            )
        else:
            before = torch.nn.Linear(features, units, bias=has, dtype=dtype)
        with torch.no_grad():
            before.weight.copy_(to_tensor(kernel))
            if bias is not None:
                before.bias.copy_(to_tensor(bias))
            fuse: Any = fusion.fuse_conv_bn_eval if extents else fusion.fuse_linear_bn_eval
            return to_numpy(fuse(before.eval(), self.module.eval())(to_tensor(x)))

    def export(self, x: Array, mode: str) -> Array:
        """Export the module, as it is in that mode, by ``torch.onnx.export``, and run the model on ONNX Runtime."""
        from conformance.adapters.shared.onnxruntime import run  # noqa: PLC0415  (optional)

        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # operators of libraries that are not there
        module, file = self.module.train(mode == "train"), io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the module is in training mode, for one
            program: Any = torch.onnx.export(module, (self.tensor(x),), dynamo=True, verbose=False)
        program.save(file)
        return run(file.getvalue(), x)[0]


def cannot_deploy(case: Case) -> str | None:
    """Say what can be neither folded nor exported."""
    lacking = "none" in (case.gamma, case.beta)
    if lacking and case.layer.rank == 2 and any(step.folded for step in case.steps):
        return "fuse_linear_bn_eval multiplies by gamma and adds beta, and fails where there is none"
    return lacks_exporter(case)


def lacks_exporter(case: Case) -> str | None:
    """Say what exporting to ONNX takes that is not installed."""
    if not any(step.exported for step in case.steps):
        return None
    absent = [name for name in _NEEDED if find_spec(name) is None]
    return f"exporting takes what is not installed: pip install {' '.join(absent)}" if absent else None
