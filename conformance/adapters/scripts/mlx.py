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
        return ["import mlx.core as mx", "import mlx.nn as nn", "mx.set_default_device(mx.cpu)"]

    def build(self) -> Lines:
        """Make the module and replace its arrays."""
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
        made = {"gamma": layer.gamma or layer.beta, "beta": layer.gamma or layer.beta}
        values = [f'"{_NAMES[name]}": {self.tensor(name)}' for name in _NAMES
                  if name in self.held and made.get(name, layer.tracked)]  # fmt: skip
        return [*lines, f"layer.update({{{', '.join(values)}}})"] if values else lines

    def forward(self, call: Call) -> Lines:
        """Call the module; what a gradient needs of before the call is kept."""
        if call.mask is not None:
            raise CannotWrite("nn.BatchNorm takes no mask")
        if call.recompute:
            raise CannotWrite("mx.checkpoint is not written out")
        n = call.number
        before = [f"before_{n} = dict(layer.parameters())"] if call.differentiated else []
        return [
            f"layer.train({call.mode == 'train'})",
            *before,
            f"x_{n} = {self.tensor(call.x)}",
            f"out_{n} = layer(x_{n})",
            f"y_{n} = {self.array(f'out_{n}')}",
        ]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Call again as a function of what is differentiated by, and put the state back."""
        n = call.number
        values = [f"x_{n}" if name == "x" else f'before_{n}["{_NAMES[name]}"]' for name in wrt]
        given = ["x" if name == "x" else _NAMES[name] for name in wrt]
        inside = ", ".join(f'"{_NAMES[name]}": {_NAMES[name]}' for name in wrt if name != "x")
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
            f"{tuple_of([f'grad_{name}' for name in wrt])} = grads",
            *(f"d{name}_{number} = " + (self.array if name == "x" else self.plain)(f"grad_{name}") for name in wrt),
        ]  # fmt: skip

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
