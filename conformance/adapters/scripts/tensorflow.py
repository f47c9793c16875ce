"""Scripts on TensorFlow: tapes around calls that run eagerly, in graphs or compiled by XLA."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, Lines, Writer, tuple_of

__all__ = ["ZERO", "TensorFlowWriter"]

ZERO = "tf.UnconnectedGradients.ZERO"


class TensorFlowWriter(Writer):
    """What calls on tensors of TensorFlow have in common."""

    native_last = True
    #: Expression of each variable.
    names: dict[str, str]

    def call_of(self, mode: str, x: str, mask: str = "") -> str:
        """Return the call, with a mask if there is one."""
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
        if call.recompute:
            function = f"{self.recomputed()}(lambda x: {self.call_of('train', 'x')})"
            return f"{self.compiled(function)}({x})"
        mask = f", {call.mask}" if call.mask is not None else ""
        if self.execution != "eager":
            return f"{call.mode}({x}{mask})"
        return self.call_of(call.mode, x, mask=f"tf.convert_to_tensor({call.mask})" if mask else "")

    def compiled(self, function: str) -> str:
        """Return the function, traced where calls are."""
        if self.execution == "eager":
            return function
        return f"tf.function({function}{', jit_compile=True' if self.execution == 'xla' else ''}, autograph=False)"

    def recomputed(self) -> str:
        """Return the name of what recomputes a function in its backward."""
        return "tf.recompute_grad"

    def traced(self) -> Lines:
        """Return the lines that define ``train`` and ``evaluate`` where calls are traced."""
        if self.execution == "eager":
            return []
        masked = any(step.masked for step in self.case.steps)
        given, mask = ("x, mask=None", "mask") if masked else ("x", "")
        return [
            f"{mode} = " + self.compiled(f"lambda {given}: {self.call_of(mode, 'x', mask=mask)}")
            for mode in ("train", "evaluate")
        ]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Ask the tape."""
        sources = [f"x_{call.number}" if name == "x" else self.names[name] for name in wrt]
        found = tuple_of([f"grad_{name}" for name in wrt])
        return [
            f"{found} = tape_{call.number}.gradient(",
            f"    out_{call.number}, [{', '.join(sources)}], output_gradients={self.tensor(dy)},",
            f"    unconnected_gradients={ZERO},",
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
        return [
            "",
            "",
            "def gradient(earlier, later, dy):",
            "    with tf.GradientTape() as tape:",
            "        tape.watch(earlier)",
            f"        {self.call_of('train', 'earlier')}",
            f"        y = {self.call_of('evaluate', 'later')}",
            f"    return tape.gradient(y, earlier, output_gradients=dy, unconnected_gradients={ZERO})",
            "",
            "",
            f"grad = {self.compiled('gradient')}({', '.join(map(self.tensor, (earlier, later, dy)))})",
            f"dx_earlier_{number} = {self.array('grad')}",
        ]

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Put tapes around tapes and accumulators inside one another."""
        n, lines = number, [f"x = {self.tensor(call.x)}"]
        hvp = [name.removeprefix("hvp_") for name in asked if name.startswith("hvp_")]
        if hvp or "third_x" in asked:
            lines.append(f"dy = {self.tensor(dy)}")
        if len(asked) > len(hvp):
            lines.append(f"v = {self.tensor(f'v_x_{n}')}")
        if hvp:
            lines += self.hessian_products(n, call.mode, hvp)
        called = self.call_of(call.mode, "x")
        if "third_x" in asked:
            ask = f"output_gradients={{}}, unconnected_gradients={ZERO}"
            lines += [
                "",
                "",
                "def differentiated(x, *vectors):",
                "    if not vectors:",
                f"        return {called}",
                "    with tf.GradientTape() as tape:",
                "        tape.watch(x)",
                "        inside = differentiated(x, *vectors[:-1])",
                f"    return tape.gradient(inside, x, {ask.format('vectors[-1]')})",
                "",
                "",
                f"third_x_{n} = {self.array(self.compiled('differentiated') + '(x, dy, v, v)')}",
            ]
        for name, times in (("jvp_y", 1), ("jvp2_y", 2)):
            if name in asked:
                lines += self.pushed(n, name, times, called)
        return lines

    def hessian_products(self, number: int, mode: str, names: Sequence[str]) -> Lines:
        """Differentiate the gradients by a tape around their tape."""
        sources = ", ".join(self.names["gamma"] if name == "gamma" else name for name in names)
        vectors = ", ".join(
            f"tf.convert_to_tensor(v_gamma_{number})" if name == "gamma" else self.tensor(f"v_{name}_{number}")
            for name in names
        )
        return [
            f"vectors = [{vectors}]",
            "",
            "",
            "def products(x, dy):",
            f"    sources = [{sources}]",
            "    with tf.GradientTape() as outer:",
            "        outer.watch(sources)",
            "        with tf.GradientTape() as inner:",
            "            inner.watch(sources)",
            f"            total = tf.reduce_sum({self.call_of(mode, 'x')} * dy)",
            "        first = inner.gradient(total, sources)",
            f"    return outer.gradient(first, sources, output_gradients=vectors, unconnected_gradients={ZERO})",
            "",
            "",
            f"found = {self.compiled('products')}(x, dy)",
            *(
                f"hvp_{name}_{number} = " + (self.plain if name == "gamma" else self.array)(f"found[{k}]")
                for k, name in enumerate(names)
            ),
        ]

    def pushed(self, number: int, name: str, times: int, called: str) -> Lines:
        """Call the layer under as many forward accumulators."""
        deep, zero = times + 1, f"unconnected_gradients={ZERO}"
        opened = [f"{'    ' * k}with tf.autodiff.ForwardAccumulator(x, v) as push_{k}:" for k in range(1, deep)]
        inside = [f"{'    ' * k}out = push_{k}.jvp(out, {zero})" for k in range(times, 1, -1)]
        return [
            "",
            "",
            f"def {name}(x, v):",
            *opened,
            f"{'    ' * deep}out = {called}",
            *inside,
            f"    return push_1.jvp(out, {zero})",
            "",
            "",
            f"{name}_{number} = {self.array(self.compiled(name) + '(x, v)')}",
        ]

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


def _wide(tensor: str, dtype: str) -> str:
    return f"tf.cast({tensor}, tf.float32)" if dtype == "bfloat16" else tensor
