"""Scripts of what becomes of a module of PyTorch: folded into the layer before it, or exported to ONNX."""

from __future__ import annotations

from conformance.adapters.scripts.onnx import session
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments

__all__ = ["Deployed"]

_CONVOLUTIONS = {3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}


class Deployed(Writer):
    """What PyTorch has for the deployment of a ``layer``."""

    @property
    def deploying(self) -> Lines:
        """Return the import lines."""
        steps = self.case.steps
        folds, exports = any(step.folded for step in steps), any(step.exported for step in steps)
        return [*(["import onnxruntime"] if exports else []), *(["from torch.nn.utils import fusion"] if folds else [])]

    def fold(self, call: Call, kernel: str, bias: str | None, groups: int) -> Lines:
        """Fold by ``fuse_linear_bn_eval`` or ``fuse_conv_bn_eval``, and call what that returns."""
        if self.execution != "eager":
            raise CannotWrite("a module is folded before it is compiled")
        n, layer = call.number, self.layer
        given = arguments(
            layer.channels, layer.channels, *(("3", "padding=1") if layer.rank > 2 else ()),
            groups=groups if groups > 1 else None, bias=None if bias else "False",
            dtype=None if layer.dtype == "float32" else f"torch.{layer.dtype}",
        )  # fmt: skip
        kind, fuse = _CONVOLUTIONS.get(layer.rank, "Linear"), "conv" if layer.rank > 2 else "linear"
        return [
            f"before = torch.nn.{kind}({given})",
            "with torch.no_grad():",
            f"    before.weight.copy_(torch.from_numpy({kernel}))",
            *([f"    before.bias.copy_(torch.from_numpy({bias}))"] if bias else []),
            f"    folded = fusion.fuse_{fuse}_bn_eval(before.eval(), layer.eval())",
            f"    y_{n} = folded(torch.from_numpy({call.x})).numpy()",
        ]

    def export(self, call: Call) -> Lines:
        """Export by ``torch.onnx.export``, and run the model on ONNX Runtime."""
        n, x = call.number, call.x if self.case.memory == "contiguous" else f"np.ascontiguousarray({call.x})"
        if self.execution != "eager":
            raise CannotWrite("a module is exported before it is compiled")
        return [
            "layer.train()" if call.mode == "train" else "layer.eval()",
            f"program = torch.onnx.export(layer, (torch.from_numpy({x}),), dynamo=True, verbose=False)",
            "file = io.BytesIO()",
            "program.save(file)",
            *session("file.getvalue()"),
            f"(y_{n},) = session.run(None, {{session.get_inputs()[0].name: {x}}})",
        ]
