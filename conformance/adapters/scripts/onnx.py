"""Scripts of ONNX: a model of one operator per call, by the reference evaluator or by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer

__all__ = ["Reference9", "Reference14", "Reference15", "Runtime", "session"]

_TYPES = {"float64": "DOUBLE", "float32": "FLOAT", "float16": "FLOAT16", "bfloat16": "BFLOAT16"}


class _Onnx(Writer):
    """The state is in the model's initializers; training gives the next one as further outputs."""

    opset = 15

    @property
    def imports(self) -> Lines:
        """Import the parts that make a model."""
        beside = ["import ml_dtypes"] if self.sixteen else []  # it comes with ONNX
        return [*beside, "import onnx", "from onnx import TensorProto, helper, numpy_helper"]

    def build(self) -> Lines:
        """Define a function that makes and runs the model of a mode."""
        layer = self.layer
        C, dtype = layer.channels, self.named(layer.param_dtype)
        own = {"gamma": "ones", "beta": "zeros", "running_mean": "zeros", "running_var": "ones"}
        made = [f"{name} = np.{kind}({C}, {dtype})" for name, kind in own.items() if name not in self.held]
        kinds = [f'"Y": TensorProto.{_TYPES[layer.dtype]}']
        stat = f"TensorProto.{_TYPES[layer.param_dtype]}"
        further = ["mean", "var", *(["saved_mean", "saved_var"] if self.opset < 14 else [])]
        mode = ", training_mode=int(training)" if self.opset >= 14 else ""
        return [
            *made,
            "",
            "",
            "def model_of(mean, var, training):",
            '    """Return the checked model of a mode, its state in the initializers."""',
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
            f"        [numpy_helper.from_array(np.asarray(value, {dtype}), name) for name, value in held.items()],",
            "    )",
            f'    opset = helper.make_opsetid("", {self.opset})',
            "    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)",
            "    onnx.checker.check_model(model, full_check=True)",
            "    return model",
            "",
            "",
            "def batch_norm(x, mean, var, training):",
            '    """Return the output, in training also the next mean and variance."""',
            "    model = model_of(mean, var, training)",
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
        n, x = call.number, self.given(call.x)
        given = f"batch_norm({x}, running_mean, running_var, training={call.mode == 'train'})"
        left = f"out_{n}, running_mean, running_var" if call.mode == "train" else f"out_{n}"
        if call.mode == "train":
            given += "[:3]"
        else:
            given += "[0]"
        return [f"{left} = {given}", f"y_{n} = {self.outside(self.wide(f'np.asarray(out_{n})', self.layer.dtype))}"]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Refuse: there is no way back."""
        raise CannotWrite("ONNX has no gradients")

    def read(self, name: str) -> str:
        """Read what the model gave."""
        return self.wide(f"np.asarray({name})", self.layer.param_dtype) if self.sixteen else name

    def given(self, x: str) -> str:
        """Return an input as the evaluator takes it."""
        inside = self.inside(x)
        return f"{inside}.astype(ml_dtypes.bfloat16)" if self.layer.dtype == "bfloat16" else inside

    def named(self, dtype: str) -> str:
        """Return NumPy's name of a dtype."""
        return "ml_dtypes.bfloat16" if dtype == "bfloat16" else f'"{dtype}"'

    def wide(self, array: str, dtype: str) -> str:
        """Return an array as float32 if it is bfloat16."""
        return f"{array}.astype(np.float32)" if dtype == "bfloat16" else array

    def reload(self) -> Lines:
        """Write the model to bytes, and take over the initializers of the model read from these."""
        return [
            "written = model_of(running_mean, running_var, training=False).SerializeToString()",
            "read = {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(written).graph.initializer}",
            'gamma, beta = read["scale"], read["B"]',
            'running_mean, running_var = read["input_mean"], read["input_var"]',
        ]

    def put(self, name: str, array: str) -> Lines:
        """Take another array for the next model."""
        return [f"{name} = {array}"]


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
        beside = ["import tempfile"] if any(step.folded for step in self.case.steps) else []
        return [*beside, "import onnxruntime", *super().imports]

    def given(self, x: str) -> str:
        """Return the input as the runtime takes it."""
        inside = self.inside(x)
        return inside if inside == x and self.case.memory == "contiguous" else f"np.ascontiguousarray({inside})"

    def fold(self, call: Call, kernel: str, bias: str | None, groups: int) -> Lines:
        """Load a model of both layers, which the graph optimiser folds, and print what that has left."""
        n, spatial = call.number, self.layer.rank > 2
        inputs = ", ".join(f'"{name}"' for name in ("X", "W", *(("b",) if bias else ())))
        pads = f", pads={[1, 1] * (self.layer.rank - 2)}, group={groups}" if spatial else ""
        kind = "Conv" if spatial else "Gemm" if bias else "MatMul"
        weights = [f'("W", {kernel if spatial else f"{kernel}.T"})', *([f'("b", {bias})'] if bias else [])]
        return [
            "model = model_of(running_mean, running_var, training=False)",
            "(norm,) = model.graph.node",
            'norm.input[0] = "Z"',
            f'linear = helper.make_node("{kind}", [{inputs}], ["Z"]{pads})',
            "del model.graph.node[:]",
            "model.graph.node.extend([linear, norm])",
            f"for name, array in [{', '.join(weights)}]:",
            "    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))",
            "options = onnxruntime.SessionOptions()",
            "with tempfile.TemporaryDirectory() as folder:",
            '    options.optimized_model_filepath = folder + "/optimised.onnx"',
            "    session = onnxruntime.InferenceSession(",
            '        model.SerializeToString(), options, providers=["CPUExecutionProvider"]',
            "    )",
            f'    (y_{n},) = session.run(None, {{"X": {self.given(call.x)}}})',
            "    left = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]",
            f'print("step {n}: of {kind} and BatchNormalization the optimiser left", *left)',
        ]

    def run(self) -> Lines:
        """Make a session for the call."""
        return [*session("model.SerializeToString()"), 'return session.run(None, {"X": x})']


def session(model: str) -> Lines:
    """Return the line that has ONNX Runtime load a model: its bytes, or a file."""
    return [f'session = onnxruntime.InferenceSession({model}, providers=["CPUExecutionProvider"])']
