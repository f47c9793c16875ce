"""Scripts of TensorFlow's own functions, the state kept by the caller."""

from __future__ import annotations

from conformance.adapters.scripts.tensorflow import TensorFlowWriter
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, arguments

__all__ = ["Fused", "Nn"]


class _Functions(TensorFlowWriter):
    """Functions of TensorFlow; the state is variables of the caller's."""

    names = {name: name for name in ("gamma", "beta", "running_mean", "running_var")}  # noqa: RUF012
    renewed = ("gamma", "beta", "running_mean", "running_var")

    @property
    def imports(self) -> Lines:
        """Import TensorFlow."""
        beside = ["import tempfile"] if any(step.reload or step.exported for step in self.case.steps) else []
        return [*beside, "import tensorflow as tf"]

    def variables(self) -> Lines:
        """Make the variables, under the names of the arrays that they are made from."""
        layer, lines = self.layer, []
        has = {"gamma": layer.gamma, "beta": layer.beta, "running_mean": True, "running_var": True}
        for name, wanted in has.items():
            kind = "ones" if name in ("gamma", "running_var") else "zeros"
            made = f"tf.cast({name}, tf.bfloat16)" if layer.param_dtype == "bfloat16" else name
            if name not in self.held:
                made = f'np.{kind}({layer.channels}, "{layer.param_dtype}")'
            if wanted:
                lines.append(f"{name} = tf.Variable({made})")
        return lines

    def call_of(self, mode: str, x: str, mask: str = "") -> str:
        """Call the function that the script defines."""
        if mask:
            raise CannotWrite("TensorFlow's functions take no mask")
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

    def export(self, call: Call) -> Lines:
        """Save the call with the variables in it as a SavedModel, and call what is loaded."""
        names = [name for name in self.names if name.startswith("running") or getattr(self.layer, name)]
        compiled = ", jit_compile=True" if self.execution == "xla" else ""
        return [
            f"given = {self.tensor(call.x)}",
            "module = tf.Module()",
            f"module.held = [{', '.join(names)}]",
            "module.serve = tf.function(",
            f"    lambda x: {self.call_of(call.mode, 'x')},",
            f"    input_signature=[tf.TensorSpec(given.shape, given.dtype)]{compiled}, autograph=False,",
            ")",
            "with tempfile.TemporaryDirectory() as folder:",
            "    tf.saved_model.save(module, folder)",
            "    loaded = tf.saved_model.load(folder)",
            f"    y_{call.number} = {self.array('loaded.serve(given)')}",
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
            f"    return tf.reshape(vector, {shape})",
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
