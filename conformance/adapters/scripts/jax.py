"""Scripts on JAX: a layer as two functions of its variables, ``train`` and ``evaluate``, and ``jax.vjp`` of them."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer

__all__ = ["JaxWriter"]


#: Of each further derivative: what it is a function of, and its lines.
_WRITTEN = {
    "third_x": (
        "x, dy, v",
        ("gradient = jax.grad(lambda x: (output(x) * dy).sum())", "return along(along(gradient, v), v)(x)"),
    ),
    "jvp_y": ("x, v", ("return along(output, v)(x)",)),
    "jvp2_y": ("x, v", ("return along(along(output, v), v)(x)",)),
}


class JaxWriter(Writer):
    """What libraries on JAX have in common: ``train(variables, x)`` gives the output and the variables it changes."""

    native_last = True
    renewed = ()
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
        return [*self.jax_imports, *self.own_imports, self._64]

    @property
    def jax_imports(self) -> Lines:
        """Import JAX, and its exporter where that is called."""
        exports = any(step.exported for step in self.case.steps)
        return ["import jax", *(["import jax.export"] if exports else []), "import jax.numpy as jnp"]

    @property
    def own_imports(self) -> Lines:
        """Return the import lines of the library."""
        return []

    def build(self) -> Lines:
        """Make the layer, its variables and its functions."""
        jit = self.execution == "jit"
        compiled = ["compiled_train, compiled_evaluate = jax.jit(train), jax.jit(evaluate)"] if jit else []
        return [*self.make(), "", "", *self.functions(), "", *compiled]

    def make(self) -> Lines:
        """Return the lines that make the layer and ``variables``."""
        raise NotImplementedError

    def functions(self) -> Lines:
        """Return the lines that define ``train(variables, x)`` and ``evaluate(variables, x)``.

        Where the case has masks, both take one more argument: ``self.mask_given`` and ``self.mask_passed``.
        """
        raise NotImplementedError

    def synchronised(self) -> Lines:
        """Return the lines that define ``synchronised(variables, x)``, as ``train`` over the axis ``replica``."""
        raise CannotWrite("there are no replicas with synchronised statistics")

    @property
    def mask_given(self) -> str:
        """Return the further parameter of the functions in a case that has masks."""
        return ", mask=None" if any(step.masked for step in self.case.steps) else ""

    @property
    def mask_passed(self) -> str:
        """Return the further argument of the library's call in a case that has masks."""
        return ", mask=mask" if any(step.masked for step in self.case.steps) else ""

    def mask(self, name: str) -> str:
        """Return the mask as the library takes it: with an axis of length 1 for the channels."""
        return f"jnp.expand_dims(jnp.array({name}), {-1 if self.last else 1})"

    def forward(self, call: Call) -> Lines:
        """Call the function of the mode, under ``jax.vjp`` where a gradient is asked for."""
        n, jit = call.number, self.execution == "jit"
        function = f"compiled_{call.mode}" if jit else call.mode
        if call.recompute:
            function = "jax.jit(jax.checkpoint(train))" if jit else "jax.checkpoint(train)"
        given = f"variables, {self.tensor(call.x)}"
        if call.mask is not None:
            differentiated = call.differentiated or jit or self.always_differentiated
            masked = self.mask(call.mask)
            if differentiated:
                function = f"lambda variables, x: {function}(variables, x, {masked})"
            else:
                given += f", {masked}"
        train = call.mode == "train"
        # A compiled function is another one under jax.vjp: so the suite calls it, always.
        if call.differentiated or jit or self.always_differentiated:
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
        compiled = ["both = jax.jit(both)"] if self.execution == "jit" else []
        return [
            "",
            "",
            "def both(earlier, held, later):",
            "    _, updated = train(held, earlier)",
            "    return evaluate({**held, **updated}, later), updated",
            "",
            "",
            *compiled,
            f"held, later = variables, {self.tensor(later)}",
            "_, backward, updated = jax.vjp(",
            f"    lambda earlier: both(earlier, held, later), {self.tensor(earlier)}, has_aux=True",
            ")",
            "variables = {**variables, **updated}",
            f"(grad,) = backward({self.tensor(dy)})",
            f"dx_earlier_{number} = {self.array('grad')}",
        ]

    def replicate(self, call: Call) -> Lines:
        """Map over the replicas by ``jax.vmap``, over an axis that has a name."""
        n, k = call.number, len(call.replicas)
        joined = self.tensor(f"np.concatenate([{', '.join(call.replicas)}])")
        compiled = ["replicas = jax.jit(replicas)"] if self.execution == "jit" else []
        return [
            "",
            "",
            *self.synchronised(),
            "",
            "def replicas(variables, x):",
            f"    parts = x.reshape({k}, -1, *x.shape[1:])",
            '    mapped = jax.vmap(synchronised, in_axes=(None, 0), axis_name="replica")',
            "    y, updated = mapped(variables, parts)",
            "    return y.reshape(x.shape), jax.tree.map(lambda leaf: leaf[0], updated)",
            "",
            "",
            *compiled,
            f"out_{n}, backward_{n}, updated = jax.vjp(replicas, variables, {joined}, has_aux=True)",
            "variables = {**variables, **updated}",
            f"y_{n} = {self.array(f'out_{n}')}",
        ]

    def export(self, call: Call) -> Lines:
        """Export the call with the variables in it, and call what is read back."""
        n, output = call.number, self.output(call.mode)
        return [
            f"exported = jax.export.export(jax.jit(lambda x: {output}))({self.tensor(call.x)})",
            f"out_{n} = jax.export.deserialize(exported.serialize()).call({self.tensor(call.x)})",
            f"y_{n} = {self.array(f'out_{n}')}",
        ]

    def output(self, mode: str, variables: str = "variables") -> str:
        """Return the expression of the output alone."""
        return f"train({variables}, x)[0]" if mode == "train" else f"evaluate({variables}, x)"

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Push directions through gradients and through the call."""
        n, lines = number, [f"x = {self.tensor(call.x)}"]
        hvp = [name.removeprefix("hvp_") for name in asked if name.startswith("hvp_")]
        if {"hvp", "third"} & {name.partition("_")[0] for name in asked}:
            lines.append(f"dy = {self.tensor(dy)}")
        if any(not name.startswith("hvp_") for name in asked):
            lines.append(f"v = {self.tensor(f'v_x_{n}')}")
        if hvp:
            lines += self.hessian_products(n, call.mode, hvp)
        if len(asked) == len(hvp):
            return lines
        lines += [
            "",
            "",
            "def output(x):",
            f"    return {self.output(call.mode)}",
            "",
            "",
            "def along(function, v):",
            "    return lambda x: jax.jvp(function, (x,), (v,))[1]",
            "",
            "",
        ]
        for name, (given, inside) in _WRITTEN.items():
            if name in asked:
                run = f"jax.jit({name})" if self.execution == "jit" else name
                lines += [f"def {name}({given}):", *(f"    {line}" for line in inside), "", ""]
                lines.append(f"{name}_{n} = {self.array(f'{run}({given})')}")
        return lines

    def hessian_products(self, number: int, mode: str, names: Sequence[str]) -> Lines:
        """Push the directions through the gradient of ``sum(y * dy)``, in all their variables at once."""
        has = self.layer.gamma and "gamma" in self.places
        gamma = f"variables{self.places['gamma']}" if has else ""
        points = {"x": "x", "dy": "dy", "gamma": gamma}
        directions = {
            name: f"jnp.array(v_gamma_{number}).reshape({gamma}.shape)" if name == "gamma"
            else self.tensor(f"v_{name}_{number}")
            for name in names
        }  # fmt: skip
        fixed = {name: point for name, point in points.items() if name not in names and (name != "gamma" or gamma)}
        held, body = "variables", ['    x = every["x"]']
        if gamma:
            held = "held"
            body += [
                "    held = jax.tree.map(lambda leaf: leaf, variables)  # a copy",
                f'    held{self.places["gamma"]} = every["gamma"]',
            ]
        run = "jax.jit(product)" if self.execution == "jit" else "product"
        return [
            "at = {" + ", ".join(f'"{name}": {points[name]}' for name in names) + "}",
            "fixed = {" + ", ".join(f'"{name}": {point}' for name, point in fixed.items()) + "}",
            "directions = {",
            *(f'    "{name}": {direction},' for name, direction in directions.items()),
            "}",
            "",
            "",
            "def total(at, fixed):",
            "    every = {**fixed, **at}",
            *body,
            f'    return ({self.output(mode, held)} * every["dy"]).sum()',
            "",
            "",
            "def product(at, directions, fixed):",
            "    return jax.jvp(lambda point: jax.grad(total)(point, fixed), (at,), (directions,))[1]",
            "",
            "",
            f"products = {run}(at, directions, fixed)",
            *(
                f"hvp_{name}_{number} = "
                + (self.plain(f'products["{name}"]', name) if name == "gamma" else self.array(f'products["{name}"]'))
                for name in names
            ),
        ]

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
