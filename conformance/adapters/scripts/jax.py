"""Scripts on JAX: a layer as two functions of its variables, ``train`` and ``evaluate``, and ``jax.vjp`` of them."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer

__all__ = ["JaxWriter"]


class JaxWriter(Writer):
    """What libraries on JAX have in common: ``train(variables, x)`` gives the output and the variables it changes."""

    native_last = True
    #: What follows ``variables`` to reach each of them.
    places: dict[str, str]
    #: Whether calls round otherwise under ``jax.vjp``, by which the suite makes all of them.
    always_differentiated = False
    #: Whether ``variables`` holds all that there is of the state, at its ``places``.
    settable = False
    _64 = 'jax.config.update("jax_enable_x64", True)'

    @property
    def imports(self) -> Lines:
        """Import JAX, with float64 as the suite has it."""
        return ["import jax", "import jax.numpy as jnp", *self.own_imports, self._64]

    @property
    def own_imports(self) -> Lines:
        """Return the import lines of the library."""
        return []

    def build(self) -> Lines:
        """Make the layer, its variables and its functions."""
        compiled = ["train, evaluate = jax.jit(train), jax.jit(evaluate)"] if self.execution == "jit" else []
        return [*self.make(), "", "", *self.functions(), "", *compiled]

    def make(self) -> Lines:
        """Return the lines that make the layer and ``variables``."""
        raise NotImplementedError

    def functions(self) -> Lines:
        """Return the lines that define ``train(variables, x)`` and ``evaluate(variables, x)``."""
        raise NotImplementedError

    def forward(self, call: Call) -> Lines:
        """Call the function of the mode, under ``jax.vjp`` where a gradient is asked for."""
        if call.mask is not None:
            raise CannotWrite("masks are not written out")
        n, function = call.number, call.mode
        if call.recompute:
            function = f"jax.checkpoint({function})"
        given = f"variables, {self.tensor(call.x)}"
        train = call.mode == "train"
        # A compiled function is another one under jax.vjp: so the suite calls it, always.
        if call.differentiated or self.execution == "jit" or self.always_differentiated:
            left, right = f"out_{n}, backward_{n}", f"jax.vjp({function}, {given})"
            if train:
                left, right = f"{left}, updated", f"jax.vjp({function}, {given}, has_aux=True)"
        else:
            left, right = (f"out_{n}, updated" if train else f"out_{n}"), f"{function}({given})"
        lines = [f"{left} = {right}"]
        if train:
            lines.append("variables = {**variables, **updated}")
        return [*lines, f"y_{n} = {self.array(f'out_{n}')}"]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Pull back to the variables and the input."""
        lines = [f"dvariables, dx = backward_{call.number}({self.tensor(dy)})"]
        for name in wrt:
            value = self.array("dx") if name == "x" else self.plain(f"dvariables{self.places[name]}", name)
            lines.append(f"d{name}_{number} = {value}")
        return lines

    def read(self, name: str) -> str:
        """Read the variable."""
        return self.plain(f"variables{self.places[name]}", name)

    def put(self, name: str, array: str) -> Lines:
        """Replace the value."""
        if not self.settable:
            return super().put(name, array)
        place = f"variables{self.places[name]}"
        return [f"{place} = jnp.array({array}, {place}.dtype)"]

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Differentiate a function of the first batch."""
        if self.execution == "jit":
            raise CannotWrite("the gradient through the update is not written out under jax.jit")
        return [
            "",
            "",
            "def both(earlier):",
            "    _, updated = train(variables, earlier)",
            f"    return evaluate({{**variables, **updated}}, {self.tensor(later)}), updated",
            "",
            "",
            f"_, backward, updated = jax.vjp(both, {self.tensor(earlier)}, has_aux=True)",
            "variables = {**variables, **updated}",
            f"(grad,) = backward({self.tensor(dy)})",
            f"dx_earlier_{number} = {self.array('grad')}",
        ]

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Push directions through gradients and through the call."""
        if self.execution == "jit" or any(name in ("hvp_gamma", "hvp_dy") for name in asked):
            raise CannotWrite("of higher derivatives only those in x are written out, and not under jax.jit")
        n, of = number, "train(variables, x)[0]" if call.mode == "train" else "evaluate(variables, x)"
        lines = [
            f"x, dy, v = {self.tensor(call.x)}, {self.tensor(dy)}, {self.tensor(f'v_x_{n}')}",
            "",
            "",
            "def output(x):",
            f"    return {of}",
            "",
            "",
            "def along(function):",
            "    return lambda x: jax.jvp(function, (x,), (v,))[1]",
            "",
            "",
            "gradient = jax.grad(lambda x: (output(x) * dy).sum())",
        ]
        written = {
            "hvp_x": "along(gradient)(x)", "third_x": "along(along(gradient))(x)", "jvp_y": "along(output)(x)",
            "jvp2_y": "along(along(output))(x)",
        }  # fmt: skip
        if not any(name in ("hvp_x", "third_x") for name in asked):
            lines.pop()
            lines[0] = f"x, v = {self.tensor(call.x)}, {self.tensor(f'v_x_{n}')}"
        return [*lines, *(f"{name}_{n} = {self.array(written[name])}" for name in asked)]

    def tensor(self, name: str) -> str:
        """Return JAX' array of a NumPy array."""
        bf16 = self._is_bf16(name)
        inner = name if name in self.held else self.inside(name)
        return f"jnp.array({inner}, jnp.bfloat16)" if bf16 else f"jnp.array({inner})"

    def array(self, value: str) -> str:
        """Return the NumPy expression of an array shaped as the input."""
        wide = ", np.float32" if self.layer.dtype == "bfloat16" else ""
        return self.outside(f"np.asarray({value}{wide})")

    def plain(self, value: str, name: str) -> str:
        """Return the NumPy expression of a value per channel."""
        wide = ", np.float32" if self.layer.param_dtype == "bfloat16" else ""
        return f"np.asarray({value}{wide})"

    def dtype(self, name: str) -> str:
        """Return JAX' dtype of that name."""
        return f"jnp.{name}"

    def _is_bf16(self, name: str) -> bool:
        return (self.layer.param_dtype if name in self.held else self.layer.dtype) == "bfloat16"
