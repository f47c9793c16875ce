"""Scripts of ONNX: a model of one operator per call, by the reference evaluator or by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer

__all__ = ["Reference9", "Reference14", "Reference15", "Runtime"]

_TYPES = {"float64": "DOUBLE", "float32": "FLOAT", "float16": "FLOAT16", "bfloat16": "BFLOAT16"}


class _Onnx(Writer):
    """The state is in the model's initializers; training gives the next one as further outputs."""

    opset = 15

    @property
    def imports(self) -> Lines:
        """Import the parts that make a model."""
        return ["import onnx", "from onnx import TensorProto, helper, numpy_helper"]

    def build(self) -> Lines:
        """Define a function that makes and runs the model of a mode."""
        layer = self.layer
        if self.sixteen:
            raise CannotWrite("NumPy has no bfloat16 to make a model from")
        C, dtype = layer.channels, layer.param_dtype
        own = {"gamma": "ones", "beta": "zeros", "running_mean": "zeros", "running_var": "ones"}
        made = [f'{name} = np.{kind}({C}, "{dtype}")' for name, kind in own.items() if name not in self.held]
        kinds = [f'"Y": TensorProto.{_TYPES[layer.dtype]}']
        stat = f"TensorProto.{_TYPES[dtype]}"
        further = ["mean", "var", *(["saved_mean", "saved_var"] if self.opset < 14 else [])]
        mode = ", training_mode=int(training)" if self.opset >= 14 else ""
        return [
            *made,
            "",
            "",
            "def batch_norm(x, mean, var, training):",
            '    """Return the output, in training also the next mean and variance."""',
            f"    outputs = {{{kinds[0]}}}",
            "    if training:",
            f"        outputs |= dict.fromkeys({further}, {stat})".replace("'", '"'),
            "    node = helper.make_node(",
            '        "BatchNormalization", ["X", "scale", "B", "input_mean", "input_var"], list(outputs),',
            f"        epsilon={layer.epsilon}, momentum={self.kept_weight()}{mode},",
            "    )",
            '    held = {"scale": gamma, "B": beta, "input_mean": mean, "input_var": var}',
            "    graph = helper.make_graph(",
            '        [node], "batch_norm",',
            f'        [helper.make_tensor_value_info("X", TensorProto.{_TYPES[layer.dtype]}, {[None] * layer.rank})],',
            "        [",
            f'            helper.make_tensor_value_info(name, kind, {[None] * layer.rank} if name == "Y" else [{C}])',
            "            for name, kind in outputs.items()",
            "        ],",
            f'        [numpy_helper.from_array(np.asarray(value, "{dtype}"), name) for name, value in held.items()],',
            "    )",
            f'    opset = helper.make_opsetid("", {self.opset})',
            "    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)",
            "    onnx.checker.check_model(model, full_check=True)",
            *(f"    {line}" for line in self.run()),
            "",
        ]

    def run(self) -> Lines:
        """Return the lines that run ``model`` on ``x``, and return what it gives."""
        return ['return ReferenceEvaluator(model).run(None, {"X": x})']

    def forward(self, call: Call) -> Lines:
        """Run the model; in train, take over the statistics."""
        if call.mask is not None or call.recompute:
            raise CannotWrite("the operator has no masks and no backward")
        n, x = call.number, f"np.ascontiguousarray({call.x})" if self.case.memory != "contiguous" else call.x
        given = f"batch_norm({self.inside(x)}, running_mean, running_var, training={call.mode == 'train'})"
        left = f"out_{n}, running_mean, running_var" if call.mode == "train" else f"out_{n}"
        if call.mode == "train":
            given += "[:3]"
        else:
            given += "[0]"
        return [f"{left} = {given}", f"y_{n} = {self.outside(f'np.asarray(out_{n})')}"]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Refuse: there is no way back."""
        raise CannotWrite("ONNX has no gradients")

    def read(self, name: str) -> str:
        """Read what the model gave."""
        return name


class _Reference(_Onnx):
    @property
    def imports(self) -> Lines:
        """Import the evaluator, too."""
        return [*super().imports, "from onnx.reference import ReferenceEvaluator"]


class Reference9(_Reference):
    """Opset 9."""

    opset = 9


class Reference14(_Reference):
    """Opset 14."""

    opset = 14


class Reference15(_Reference):
    """Opset 15."""


class Runtime(_Onnx):
    """ONNX Runtime, by its CPU provider."""

    @property
    def imports(self) -> Lines:
        """Import the runtime, too."""
        return ["import onnxruntime", *super().imports]

    def run(self) -> Lines:
        """Make a session for the call."""
        return [
            'session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])',
            'return session.run(None, {"X": x})',
        ]
