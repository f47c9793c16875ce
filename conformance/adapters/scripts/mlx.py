"""Scripts of MLX: ``mlx.nn.BatchNorm``, its gradients by ``mx.vjp`` of calling it with given parameters."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments, tuple_of

__all__ = ["Mlx"]

_NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


class Mlx(Writer):
    """The module on the processor, where float64 is to be had."""

    native_last = True

    @property
    def imports(self) -> Lines:
        """Import both parts, and choose the processor."""
        beside = ["import tempfile"] if any(step.reload or step.exported for step in self.case.steps) else []
        return [*beside, "import mlx.core as mx", "import mlx.nn as nn", "mx.set_default_device(mx.cpu)"]

    def build(self) -> Lines:
        """Make the module and replace its arrays."""
        layer = self.layer
        made = {"gamma": layer.gamma or layer.beta, "beta": layer.gamma or layer.beta}
        values = [f'"{_NAMES[name]}": {self.tensor(name)}' for name in _NAMES
                  if name in self.held and made.get(name, layer.tracked)]  # fmt: skip
        return [*self.made(), *([f"layer.update({{{', '.join(values)}}})"] if values else []), *self.pure()]

    def made(self) -> Lines:
        """Make the module in the dtype of its parameters."""
        layer = self.layer
        if layer.momentum is None:
            raise CannotWrite("there is no cumulative average")
        given = arguments(
            layer.channels, eps=layer.epsilon, momentum=layer.momentum,
            affine=None if layer.gamma or layer.beta else "False",
            track_running_stats=None if layer.tracked else "False",
        )  # fmt: skip
        lines = [f"layer = nn.BatchNorm({given})"]
        if layer.param_dtype != "float32":
            lines.append(f"layer.set_dtype(mx.{layer.param_dtype})")
        return lines

    def pure(self) -> Lines:
        """Define the call as a function of the module's arrays, where it is differentiated in more than one way."""
        steps = self.case.steps
        if not any(step.differentiates or step.recompute or step.through_update or step.exported for step in steps):
            return []
        return [
            "",
            "",
            "def pure(held, x, training):",
            '    """Return the output and the statistics after the call; the module keeps neither."""',
            "    kept = dict(layer.parameters())",
            "    layer.update(held)",
            "    y = layer.train(training)(x)",
            "    after = dict(layer.parameters())",
            "    layer.update(kept)",
            '    return [y, *(after[name] for name in ("running_mean", "running_var") if name in after)]',
            "",
            "",
        ]

    def reload(self) -> Lines:
        """Save the weights to a file and load them into a new module."""
        return [
            "with tempfile.TemporaryDirectory() as folder:",
            '    file = folder + "/weights.npz"  # MLX writes no float64 as safetensors',
            "    layer.save_weights(file)",
            *(f"    {line}" for line in self.made()),
            "    layer.load_weights(file)",
            "    mx.eval(layer.parameters())",
        ]

    def put(self, name: str, array: str) -> Lines:
        """Replace the array."""
        return [f'layer.update({{"{_NAMES[name]}": mx.array({array}, dtype=mx.{self.layer.param_dtype})}})']

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Differentiate a function of the first batch."""
        return [
            "held = dict(layer.parameters())",
            f"later = {self.tensor(later)}",
            "",
            "",
            "def both(earlier):",
            "    _, mean, var = pure(held, earlier, training=True)",
            '    moved = {**held, "running_mean": mean, "running_var": var}',
            "    return [pure(moved, later, training=False)[0], mean, var]",
            "",
            "",
            f"earlier = {self.tensor(earlier)}",
            "_, mean, var = both(earlier)",
            f"_, (grad,) = mx.vjp(lambda x: both(x)[0], [earlier], [{self.tensor(dy)}])",
            'layer.update({"running_mean": mean, "running_var": var})',
            f"dx_earlier_{number} = {self.array('grad')}",
        ]

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Push directions through gradients and through the call."""
        n, names = number, [name.removeprefix("hvp_") for name in asked if name.startswith("hvp_")]
        training = f"training={call.mode == 'train'}"
        lines = ["held = dict(layer.parameters())", f"x = {self.tensor(call.x)}"]
        if names or "third_x" in asked:
            lines.append(f"dy = {self.tensor(dy)}")
        if names:
            known = {"x": "x", "dy": "dy", "gamma": 'held["weight"]'}
            given = '{**held, "weight": gamma}' if "gamma" in names else "held"
            vectors = [
                f"mx.array(v_gamma_{n}, dtype=mx.{self.layer.param_dtype})" if name == "gamma"
                else self.tensor(f"v_{name}_{n}")
                for name in names
            ]  # fmt: skip
            lines += [
                "",
                "",
                f"def total({', '.join(names)}):",
                f"    return (pure({given}, x, {training})[0] * dy).sum()",
                "",
                "",
                "def gradient(*at):",
                f"    return [mx.grad(total, argnums=k)(*at) for k in range({len(names)})]",
                "",
                "",
                f"at = [{', '.join(known[name] for name in names)}]",
                f"_, found = mx.jvp(gradient, at, [{', '.join(vectors)}])",
                *(
                    f"hvp_{name}_{n} = " + (self.plain if name == "gamma" else self.array)(f"found[{k}]")
                    for k, name in enumerate(names)
                ),
            ]
        if len(asked) == len(names):
            return lines
        written = {"third_x": "along(along(gradient))", "jvp_y": "along(output)", "jvp2_y": "along(along(output))"}
        return [
            *lines,
            f"v = {self.tensor(f'v_x_{n}')}",
            "",
            "",
            "def along(function):",
            "    return lambda x: mx.jvp(function, [x], [v])[1][0]",
            "",
            "",
            "def output(x):",
            f"    return pure(held, x, {training})[0]",
            "",
            "",
            *(["gradient = mx.grad(lambda x: (output(x) * dy).sum())"] if "third_x" in asked else []),
            *(f"{name}_{n} = {self.array(f'{written[name]}(x)')}" for name in asked if name in written),
        ]

    def export(self, call: Call) -> Lines:
        """Export the call with the arrays in it, which leaves the module as it is, and call what is read."""
        training = f"training={call.mode == 'train'}"
        return [
            f"held, given = dict(layer.parameters()), {self.tensor(call.x)}",
            "with tempfile.TemporaryDirectory() as folder:",
            '    file = folder + "/layer.mlxfn"',
            f"    mx.export_function(file, lambda x: pure(held, x, {training})[0], given)",
            f"    y_{call.number} = {self.array('mx.import_function(file)(given)[0]')}",
        ]

    def forward(self, call: Call) -> Lines:
        """Call the module; what a gradient needs of before the call is kept."""
        if call.mask is not None:
            raise CannotWrite("nn.BatchNorm takes no mask")
        n = call.number
        if call.recompute:
            return self.recomputed(call)
        before = [f"before_{n} = dict(layer.parameters())"] if call.differentiated else []
        return [
            f"layer.train({call.mode == 'train'})",
            *before,
            f"x_{n} = {self.tensor(call.x)}",
            f"out_{n} = layer(x_{n})",
            f"y_{n} = {self.array(f'out_{n}')}",
        ]

    def recomputed(self, call: Call) -> Lines:
        """Call the module as a function of its arrays under ``mx.checkpoint``."""
        n = call.number
        moved = ['layer.update({"running_mean": moved[0], "running_var": moved[1]})'] if self.layer.tracked else []
        return [
            f"again_{n} = mx.checkpoint(lambda held, x: pure(held, x, training=True))",
            f"before_{n}, x_{n} = dict(layer.parameters()), {self.tensor(call.x)}",
            f"out_{n}, *moved = again_{n}(before_{n}, x_{n})",
            *moved,
            f"y_{n} = {self.array(f'out_{n}')}",
        ]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Call again as a function of what is differentiated by, and put the state back."""
        n = call.number
        values = [f"x_{n}" if name == "x" else f'before_{n}["{_NAMES[name]}"]' for name in wrt]
        given = ["x" if name == "x" else _NAMES[name] for name in wrt]
        inside = ", ".join(f'"{_NAMES[name]}": {_NAMES[name]}' for name in wrt if name != "x")
        if call.recompute:
            held = f"{{**before_{n}, {inside}}}" if inside else f"before_{n}"
            return [
                "",
                "",
                f"def output({', '.join(given)}):",
                f"    return again_{n}({held}, {'x' if 'x' in given else f'x_{n}'})[0]",
                "",
                "",
                f"_, grads = mx.vjp(output, [{', '.join(values)}], [{self.tensor(dy)}])",
                *self.taken(number, wrt),
            ]
        return [
            "",
            "",
            f"def output({', '.join(given)}):",
            f"    layer.update({{**before_{n}, {inside}}})" if inside else f"    layer.update(before_{n})",
            f"    return layer.train({call.mode == 'train'})({'x' if 'x' in given else f'x_{n}'})",
            "",
            "",
            "kept = dict(layer.parameters())",
            f"_, grads = mx.vjp(output, [{', '.join(values)}], [{self.tensor(dy)}])",
            "layer.update(kept)",
            *self.taken(number, wrt),
        ]

    def taken(self, number: int, wrt: Sequence[str]) -> Lines:
        """Return the lines that name the gradients."""
        return [
            f"{tuple_of([f'grad_{name}' for name in wrt])} = grads",
            *(f"d{name}_{number} = " + (self.array if name == "x" else self.plain)(f"grad_{name}") for name in wrt),
        ]

    def read(self, name: str) -> str:
        """Read the array of the module."""
        return self.plain(f"layer.{_NAMES[name]}")

    def freeze(self, *, wanted: bool) -> Lines:
        """Take the parameters out of those that are trained, or back."""
        return ["layer.freeze()" if wanted else "layer.unfreeze()"]

    def tensor(self, name: str) -> str:
        """Return MLX' array of a NumPy array."""
        held = name in self.held
        dtype = self.layer.param_dtype if held else self.layer.dtype
        inner = name if held else self.inside(name)
        inner = inner if inner == name and self.case.memory == "contiguous" else f"np.ascontiguousarray({inner})"
        return f"mx.array({inner}, dtype=mx.{dtype})"

    def array(self, value: str) -> str:
        """Return the NumPy expression of an array shaped as the input."""
        return self.outside(_numpy(value, self.layer.dtype))

    def plain(self, value: str) -> str:
        """Return the NumPy expression of a value per channel."""
        return _numpy(value, self.layer.param_dtype)


def _numpy(value: str, dtype: str) -> str:
    return f"np.array({value}.astype(mx.float32))" if dtype == "bfloat16" else f"np.array({value})"
