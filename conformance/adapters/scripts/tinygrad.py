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
        lines = self.made()
        for name, theirs in _NAMES.items():
            if name in self.held and self._has(name):
                lines.append(f"layer.{theirs} = {self.tensor(name)}.realize()")
        return lines

    def _has(self, name: str) -> bool:
        return self.layer.tracked if name.startswith("running") else bool(getattr(self.layer, name))

    def made(self) -> Lines:
        """Make the module, its tensors in the dtype of the parameters."""
        layer = self.layer
        if layer.momentum is None:
            raise CannotWrite("there is no cumulative average")
        given = arguments(
            layer.channels, eps=layer.epsilon, affine=None if layer.gamma or layer.beta else "False",
            track_running_stats=None if layer.tracked else "False", momentum=layer.momentum,
        )  # fmt: skip
        lines = [f"layer = nn.BatchNorm({given})"]
        for name, theirs in _NAMES.items():
            if not self._has(name):
                if name in ("gamma", "beta") and (layer.gamma or layer.beta):
                    lines.append(f"layer.{theirs} = None")
            elif layer.param_dtype != "float32":
                lines.append(f"layer.{theirs} = layer.{theirs}.cast(dtypes.{layer.param_dtype}).contiguous().realize()")
        return lines

    def reload(self) -> Lines:
        """Copy the state dict, and load it into a new module."""
        return [
            "saved = {name: one.clone().realize() for name, one in nn.state.get_state_dict(layer).items()}",
            *self.made(),
            "nn.state.load_state_dict(layer, saved, verbose=False)",
        ]

    def put(self, name: str, array: str) -> Lines:
        """Replace the tensor."""
        return [f"layer.{_NAMES[name]} = Tensor({array}).realize()"]

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Train, evaluate, differentiate by the first batch."""
        return [
            f"earlier = {self.tensor(earlier)}",
            "with Context(TRAINING=1):",
            "    layer(earlier)",
            "with Context(TRAINING=0):",
            f"    out_{number} = layer({self.tensor(later)})",
            f"(grad,) = out_{number}.gradient(earlier, gradient={self.tensor(dy)})",
            f"dx_earlier_{number} = {self.outside('grad.numpy()')}",
            "layer.running_mean.realize()",
            "layer.running_var.realize()",
        ]

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Differentiate gradients, multiplied by the directions; tinygrad has no forward mode."""
        if any(name.startswith("jvp") for name in asked):
            raise CannotWrite("tinygrad has no forward mode")
        n, names = number, [name.removeprefix("hvp_") for name in asked if name.startswith("hvp_")]
        lines = [
            f"x_{n}, upstream = {self.tensor(call.x)}, {self.tensor(dy)}",
            f"with Context(TRAINING={int(call.mode == 'train')}):",
            f"    out_{n} = layer(x_{n})",
        ]
        if names:
            known = {"x": f"x_{n}", "dy": "upstream", "gamma": "layer.weight"}
            leaves = ", ".join(known[name] for name in names)
            lines += [
                f"vectors = [{', '.join(self.tensor(f'v_{name}_{n}', flat=name == 'gamma') for name in names)}]",
                f"first = (out_{n} * upstream).sum().gradient({leaves})",
                "total = sum((one * vector).sum() for one, vector in zip(first, vectors))",
                f"{tuple_of([f'grad_{name}' for name in names])} = total.gradient({leaves})",
            ]
            lines += [
                f"hvp_{name}_{n} = "
                + (f"grad_{name}.numpy()" if name == "gamma" else self.outside(f"grad_{name}.numpy()"))
                for name in names
            ]
        if "third_x" in asked:
            lines += [
                f"v, found = {self.tensor(f'v_x_{n}')}, out_{n}",
                "for vector in (upstream, v, v):",
                f"    (found,) = (found * vector).sum().gradient(x_{n})",
                f"third_x_{n} = {self.outside('found.numpy()')}",
            ]
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

    def tensor(self, name: str, *, flat: bool = False) -> str:
        """Return tinygrad's tensor of a NumPy array."""
        inner = name if flat or name in self.held else self.inside(name)
        plain = inner == name and self.case.memory == "contiguous"
        return f"Tensor({inner})" if plain else f"Tensor(np.ascontiguousarray({inner}))"
