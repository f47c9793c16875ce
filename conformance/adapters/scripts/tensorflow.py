"""Scripts on TensorFlow: tapes around the calls of Keras, Keras 2 and TensorFlow's own functions."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.keras import KerasLayer
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments, tuple_of

__all__ = ["Fused", "Keras", "Keras2Fused", "Keras2Unfused", "Keras2V1", "Nn", "TensorFlowWriter"]

_ZERO = "tf.UnconnectedGradients.ZERO"


class TensorFlowWriter(Writer):
    """What calls on tensors of TensorFlow have in common."""

    native_last = True
    #: Expression of each variable.
    names: dict[str, str]

    def call_of(self, mode: str, x: str) -> str:
        """Return the call."""
        raise NotImplementedError

    def forward(self, call: Call) -> Lines:
        """Call the layer, under a tape where a gradient is asked for."""
        n = call.number
        x, lines = self.tensor(call.x), []
        called = self.called(call, f"x_{n}")
        # What is traced is another graph under a tape: so the suite calls it, always.
        if call.differentiated or self.execution != "eager":
            watched = [f"x_{n}", *(self.names[name] for name in sorted(call.wrt) if name.startswith("running"))]
            lines = [
                f"x_{n} = {x}",
                f"with tf.GradientTape(persistent=True) as tape_{n}:",
                f"    tape_{n}.watch([{', '.join(watched)}])",
                f"    out_{n} = {called}",
            ]
        else:
            lines = [f"x_{n} = {x}", f"out_{n} = {called}"]
        return [*lines, f"y_{n} = {self.array(f'out_{n}')}"]

    def called(self, call: Call, x: str) -> str:
        """Return the call, recomputed or masked where that is asked for."""
        if call.mask is not None:
            raise CannotWrite("TensorFlow's functions take no mask")
        if self.execution != "eager":
            if call.recompute:
                raise CannotWrite("recomputation is not written out in a graph")
            return f"{call.mode}({x})"
        if call.recompute:
            return f"{self.recomputed()}(lambda x: {self.call_of('train', 'x')})({x})"
        return self.call_of(call.mode, x)

    def recomputed(self) -> str:
        """Return the name of what recomputes a function in its backward."""
        return "tf.recompute_grad"

    def traced(self) -> Lines:
        """Return the lines that define ``train`` and ``evaluate`` where calls are traced."""
        if self.execution == "eager":
            return []
        compiled = ", jit_compile=True" if self.execution == "xla" else ""
        return [
            f"{mode} = tf.function(lambda x: {self.call_of(mode, 'x')}{compiled}, autograph=False)"
            for mode in ("train", "evaluate")
        ]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Ask the tape."""
        sources = [f"x_{call.number}" if name == "x" else self.names[name] for name in wrt]
        found = tuple_of([f"grad_{name}" for name in wrt])
        return [
            f"{found} = tape_{call.number}.gradient(",
            f"    out_{call.number}, [{', '.join(sources)}], output_gradients={self.tensor(dy)},",
            f"    unconnected_gradients={_ZERO},",
            ")",
            *(
                f"d{name}_{number} = " + (self.array if name == "x" else self.plain)(f"grad_{name}")
                for name in wrt
            ),
        ]  # fmt: skip

    def read(self, name: str) -> str:
        """Read the variable."""
        return self.plain(self.names[name])

    def put(self, name: str, array: str) -> Lines:
        """Assign the variable."""
        return [f"{self.names[name]}.assign(tf.cast({array}, {self.names[name]}.dtype))"]

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Train and evaluate under one tape."""
        if self.execution != "eager":
            raise CannotWrite("the gradient through the update is not written out in a graph")
        return [
            f"earlier = {self.tensor(earlier)}",
            "with tf.GradientTape() as tape:",
            "    tape.watch(earlier)",
            f"    {self.call_of('train', 'earlier')}",
            f"    out_{number} = {self.call_of('evaluate', self.tensor(later))}",
            "grad = tape.gradient(",
            f"    out_{number}, earlier, output_gradients={self.tensor(dy)}, unconnected_gradients={_ZERO}",
            ")",
            f"dx_earlier_{number} = {self.array('grad')}",
        ]

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Put tapes around tapes and accumulators inside one another; in the input only."""
        if self.execution != "eager" or any(name in ("hvp_gamma", "hvp_dy") for name in asked):
            raise CannotWrite("of higher derivatives only those in x are written out, and not in a graph")
        n, lines = number, [f"x, dy, v = {self.tensor(call.x)}, {self.tensor(dy)}, {self.tensor(f'v_x_{number}')}"]
        called = self.call_of(call.mode, "x")
        if "hvp_x" in asked:
            lines += [
                "with tf.GradientTape() as outer:",
                "    outer.watch(x)",
                "    with tf.GradientTape() as inner:",
                "        inner.watch(x)",
                f"        total = tf.reduce_sum({called} * dy)",
                "    first = inner.gradient(total, x)",
                f"grad = outer.gradient(first, x, output_gradients=v, unconnected_gradients={_ZERO})",
                f"hvp_x_{n} = {self.array('grad')}",
            ]
        if "third_x" in asked:
            ask = f"output_gradients={{}}, unconnected_gradients={_ZERO}"
            lines += [
                "with tf.GradientTape() as third:",
                "    third.watch(x)",
                "    with tf.GradientTape() as second:",
                "        second.watch(x)",
                "        with tf.GradientTape() as first:",
                "            first.watch(x)",
                f"            out = {called}",
                f"        found = first.gradient(out, x, {ask.format('dy')})",
                f"    found = second.gradient(found, x, {ask.format('v')})",
                f"found = third.gradient(found, x, {ask.format('v')})",
                f"third_x_{n} = {self.array('found')}",
            ]
        if "jvp_y" in asked:
            lines += [
                "with tf.autodiff.ForwardAccumulator(x, v) as accumulator:",
                f"    out = {called}",
                f"jvp_y_{n} = {self.array(f'accumulator.jvp(out, unconnected_gradients={_ZERO})')}",
            ]
        if "jvp2_y" in asked:
            lines += [
                "with tf.autodiff.ForwardAccumulator(x, v) as outer:",
                "    with tf.autodiff.ForwardAccumulator(x, v) as inner:",
                f"        out = {called}",
                f"    once = inner.jvp(out, unconnected_gradients={_ZERO})",
                f"jvp2_y_{n} = {self.array(f'outer.jvp(once, unconnected_gradients={_ZERO})')}",
            ]
        return lines

    def tensor(self, name: str) -> str:
        """Return the tensor of a NumPy array."""
        tensor = f"tf.convert_to_tensor({self.inside(name)})"
        return f"tf.cast({tensor}, tf.bfloat16)" if self.layer.dtype == "bfloat16" else tensor

    def array(self, tensor: str) -> str:
        """Return the NumPy expression of a tensor shaped as the input."""
        return self.outside(f"{_wide(tensor, self.layer.dtype)}.numpy()")

    def plain(self, tensor: str) -> str:
        """Return the NumPy expression of a value per channel."""
        return f"{_wide(tensor, self.layer.param_dtype)}.numpy()"

    def held_array(self, name: str) -> str:
        """Return what a variable is assigned."""
        return f"tf.cast({name}, tf.bfloat16)" if self.layer.param_dtype == "bfloat16" else name


def _wide(tensor: str, dtype: str) -> str:
    return f"tf.cast({tensor}, tf.float32)" if dtype == "bfloat16" else tensor


class Keras(KerasLayer, TensorFlowWriter):
    """``keras.layers.BatchNormalization`` on TensorFlow."""

    backend = "tensorflow"
    names = {name: f"layer.{attribute}.value" for name, attribute in KerasLayer.attributes.items()}  # noqa: RUF012

    @property
    def imports(self) -> Lines:
        """Choose the backend, import both."""
        return [*self.keras_imports, "import tensorflow as tf"]

    def build(self) -> Lines:
        """Make the layer; trace its calls where they are traced."""
        return [*self.made(), *self.traced()]

    def call_of(self, mode: str, x: str) -> str:
        """Call the layer."""
        return f"layer({x}, training={mode == 'train'})"

    def called(self, call: Call, x: str) -> str:
        """Call the layer, with a mask if there is one."""
        if call.mask is None:
            return super().called(call, x)
        if self.execution != "eager":
            raise CannotWrite("masks are not written out in a graph")
        return f"layer({x}, training={call.mode == 'train'}, mask=tf.convert_to_tensor({call.mask}))"

    def recomputed(self) -> str:
        """Return Keras' own."""
        return "keras.remat"

    def reload(self) -> Lines:
        """Save the weights and load them into a new layer."""
        return [*self.reloaded(), *self.traced()]

    def freeze(self, *, wanted: bool) -> Lines:
        """Make the layer untrainable, or trainable again; what was traced is traced anew."""
        return [f"layer.trainable = {not wanted}", *self.traced()]


class _Keras2(Keras):
    """``tf_keras.layers.BatchNormalization``."""

    library, fused = "tf_keras", "False"
    names = {name: f"layer.{attribute}" for name, attribute in KerasLayer.attributes.items()}  # noqa: RUF012

    @property
    def imports(self) -> Lines:
        """Import Keras 2."""
        beside = ["import tempfile"] if any(step.reload for step in self.case.steps) else []
        return [*beside, "import tensorflow as tf", "import tf_keras"]

    def options(self) -> dict[str, str | None]:
        """Say whether the kernel is fused."""
        return {"fused": self.fused}

    def recomputed(self) -> str:
        """Return TensorFlow's."""
        return "tf.recompute_grad"


class Keras2Fused(_Keras2):
    """``fused=True``."""

    fused = "True"


class Keras2Unfused(_Keras2):
    """``fused=False``."""


class Keras2V1(_Keras2):
    """The layer of TensorFlow 1."""

    fused = "None"

    @property
    def imports(self) -> Lines:
        """Import the layer from where it is kept."""
        return [*super().imports, "from tf_keras.api._v1.keras.layers import BatchNormalization"]

    def constructor(self) -> str:
        """Return the class."""
        return "BatchNormalization"


class _Functions(TensorFlowWriter):
    """Functions of TensorFlow; the state is variables of the caller's."""

    names = {name: name for name in ("gamma", "beta", "running_mean", "running_var")}  # noqa: RUF012

    @property
    def imports(self) -> Lines:
        """Import TensorFlow."""
        beside = ["import tempfile"] if any(step.reload for step in self.case.steps) else []
        return [*beside, "import tensorflow as tf"]

    def variables(self) -> Lines:
        """Make the variables, under the names of the arrays that they are made from."""
        layer, lines = self.layer, []
        has = {"gamma": layer.gamma, "beta": layer.beta, "running_mean": True, "running_var": True}
        for name, wanted in has.items():
            kind = "ones" if name in ("gamma", "running_var") else "zeros"
            made = self.held_array(name)
            if name not in self.held:
                made = f'np.{kind}({layer.channels}, "{layer.param_dtype}")'
            if wanted:
                lines.append(f"{name} = tf.Variable({made})")
        return lines

    def call_of(self, mode: str, x: str) -> str:
        """Call the function that the script defines."""
        return f"batch_norm({x}, training={mode == 'train'})"


    def reload(self) -> Lines:
        """Save the variables by a checkpoint, and restore them into new ones."""
        names = [name for name in self.names if name.startswith("running") or getattr(self.layer, name)]
        kept = f"tf.train.Checkpoint({', '.join(f'{name}={name}' for name in names)})"
        return [
            "with tempfile.TemporaryDirectory() as folder:",
            f'    path = {kept}.write(folder + "/layer")',
            *(f"    {name} = tf.Variable(tf.zeros_like({name}))" for name in names),
            f"    {kept}.read(path).assert_consumed()",
            *self.traced(),
        ]


class Nn(_Functions):
    """``tf.nn.moments`` and ``tf.nn.batch_normalization``."""

    def build(self) -> Lines:
        """Make the variables, and a function of the two."""
        layer = self.layer
        if layer.momentum is None:
            raise CannotWrite("the average has one weight")
        channels = layer.rank - 1 if self.last else 1
        axes = [axis for axis in range(layer.rank) if axis != channels]
        shape = [layer.channels if axis == channels else 1 for axis in range(layer.rank)]
        given = arguments(
            "x", "mean", "var", "spread(beta)" if layer.beta else "None", "spread(gamma)" if layer.gamma else "None",
            layer.epsilon,
        )  # fmt: skip
        return [
            *self.variables(),
            "",
            "",
            "def spread(vector):",
            f"    return tf.reshape(tf.cast(vector, tf.{layer.dtype}), {shape})",
            "",
            "",
            "def batch_norm(x, training):",
            "    if training:",
            f"        mean, var = tf.nn.moments(x, {axes}, keepdims=True)",
            "        for held, batch in ((running_mean, mean), (running_var, var)):",
            "            batch = tf.cast(tf.reshape(batch, [-1]), held.dtype)",
            f"            held.assign(held * (1 - {layer.momentum}) + batch * {layer.momentum})",
            "    else:",
            "        mean, var = spread(running_mean), spread(running_var)",
            f"    return tf.nn.batch_normalization({given})",
            "",
            "",
            *self.traced(),
        ]


class Fused(_Functions):
    """``tf.compat.v1.nn.fused_batch_norm``."""

    def build(self) -> Lines:
        """Make the variables, and a function of the kernel."""
        layer = self.layer
        last = self.last or layer.rank == 2
        folded = f"[-1, 1, 1, {layer.channels}]" if last else f"[tf.shape(x)[0], {layer.channels}, -1, 1]"
        given = arguments(
            f"tf.reshape(x, {folded})", "gamma" if layer.gamma else f"tf.ones({layer.channels})",
            "beta" if layer.beta else f"tf.zeros({layer.channels})", "running_mean", "running_var",
            epsilon=layer.epsilon, data_format='"NHWC"' if last else '"NCHW"', is_training="training",
            exponential_avg_factor=layer.momentum,
        )  # fmt: skip
        return [
            *self.variables(),
            "",
            "",
            "def batch_norm(x, training):",
            "    y, mean, var = tf.compat.v1.nn.fused_batch_norm(",
            *(f"        {part}" for part in [given + ","]),
            "    )",
            "    if training:",
            "        running_mean.assign(mean)",
            "        running_var.assign(var)",
            "    return tf.reshape(y, tf.shape(x))",
            "",
            "",
            *self.traced(),
        ]
