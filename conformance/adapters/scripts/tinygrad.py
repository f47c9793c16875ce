"""Scripts of tinygrad: ``tinygrad.nn.BatchNorm``."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments, tuple_of

__all__ = ["Tinygrad"]

_NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


class Tinygrad(Writer):
    """The module on the processor."""

    @property
    def imports(self) -> Lines:
        """Choose the device before tinygrad is imported."""
        return ["import os", 'os.environ["DEV"] = "CPU"', "from tinygrad import Context, Tensor, dtypes, nn"]

    def build(self) -> Lines:
        """Make the module and replace its tensors."""
        layer = self.layer
        if self.sixteen:
            raise CannotWrite("bfloat16 is not written out")
        if layer.momentum is None:
            raise CannotWrite("there is no cumulative average")
        given = arguments(
            layer.channels, eps=layer.epsilon, affine=None if layer.gamma or layer.beta else "False",
            track_running_stats=None if layer.tracked else "False", momentum=layer.momentum,
        )  # fmt: skip
        lines = [f"layer = nn.BatchNorm({given})"]
        has = {"gamma": layer.gamma, "beta": layer.beta, "running_mean": layer.tracked, "running_var": layer.tracked}
        for name, theirs in _NAMES.items():
            if not has[name]:
                if name in ("gamma", "beta") and (layer.gamma or layer.beta):
                    lines.append(f"layer.{theirs} = None")
            elif name in self.held:
                lines.append(f"layer.{theirs} = Tensor({name}).realize()")
            elif layer.param_dtype != "float32":
                lines.append(f"layer.{theirs} = layer.{theirs}.cast(dtypes.{layer.param_dtype}).contiguous().realize()")
        return lines

    def forward(self, call: Call) -> Lines:
        """Call the module; its statistics are computed at once, so that no later call is part of theirs."""
        if call.mask is not None or call.recompute:
            raise CannotWrite("tinygrad has neither masks nor checkpointing")
        n = call.number
        lines = [
            f"x_{n} = {self.tensor(call.x)}",
            f"with Context(TRAINING={int(call.mode == 'train')}):",
            f"    out_{n} = layer(x_{n})",
        ]
        if self.layer.tracked:
            lines += ["layer.running_mean.realize()", "layer.running_var.realize()"]
        return [*lines, f"y_{n} = {self.outside(f'out_{n}.numpy()')}"]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Differentiate the graph."""
        leaves = [f"x_{call.number}" if name == "x" else f"layer.{_NAMES[name]}" for name in wrt]
        lines = [
            f"{tuple_of([f'grad_{name}' for name in wrt])} = out_{call.number}.gradient(",
            f"    {', '.join(leaves)}, gradient={self.tensor(dy)}",
            ")",
        ]
        for name in wrt:
            array = f"grad_{name}.numpy()"
            lines.append(f"d{name}_{number} = {self.outside(array) if name == 'x' else array}")
        return lines

    def read(self, name: str) -> str:
        """Read the tensor."""
        return f"layer.{_NAMES[name]}.numpy()"

    def tensor(self, name: str) -> str:
        """Return tinygrad's tensor of a NumPy array."""
        inner = self.inside(name)
        plain = inner == name and self.case.memory == "contiguous"
        return f"Tensor({inner})" if plain else f"Tensor(np.ascontiguousarray({inner}))"
