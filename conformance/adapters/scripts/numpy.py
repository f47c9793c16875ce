"""Scripts of the formulas themselves, written out in NumPy: what the canary computes."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer

__all__ = ["Formulas"]

_BACKWARD = [
    "def backward(kept, dy):",
    '    """The gradients of sum(y * dy) with respect to x, gamma and beta."""',
    "    deviation, xhat, inverse, var, training = kept",
    "    upstream = rows(dy)",
    "    dx = gamma * inverse * upstream",
    "    if training:",
    "        slope = -inverse / (2 * (var + epsilon))  # of 1 / s by the variance",
    "        by_mean = inverse * upstream.mean(axis=1, keepdims=True)",
    "        by_var = 2 * slope * deviation * (upstream * deviation).mean(axis=1, keepdims=True)",
    "        dx = gamma * (inverse * upstream - by_mean + by_var)",
    "    dgamma, dbeta = (upstream * xhat).sum(axis=1), upstream.sum(axis=1)",
    "    return shaped(dx, dy), dgamma, dbeta",
    "",
]


class Formulas(Writer):
    """The reference dialect: sample variance, blended; statistics of the batch in train, constants in evaluate."""

    renewed = ()

    @property
    def imports(self) -> Lines:
        """Import nothing more, unless the state is saved."""
        return ["import io"] if any(step.reload for step in self.case.steps) else []

    @property
    def work(self) -> str:
        """Return the dtype that is computed in: float32 for 16-bit input."""
        return "float64" if "float64" in (self.layer.dtype, self.layer.param_dtype) else "float32"

    def build(self) -> Lines:
        """Define forward and backward, one channel a row."""
        layer, work = self.layer, self.work
        if self.sixteen:
            raise CannotWrite("NumPy has no bfloat16")
        own = {"gamma": "ones", "beta": "zeros", "running_mean": "zeros", "running_var": "ones"}
        make = [
            f"{name} = {name}.astype(np.{work})[:, None]" if name in self.held
            else f"{name} = np.{kind}(({layer.channels}, 1), np.{work})"
            for name, kind in own.items()
        ]  # fmt: skip
        return [
            *make,
            f"epsilon = np.{work}({layer.epsilon})",
            f"momentum = np.{work}({layer.momentum})" if layer.momentum is not None else "updates = 0",
            *self.freezing(wanted=False),
            "",
            "",
            "def rows(x):",
            '    """One row for each channel."""',
            f"    return np.ascontiguousarray(np.moveaxis(x, 1, 0).reshape(x.shape[1], -1), np.{work})",
            "",
            "",
            "def shaped(rows, like):",
            '    """The rows as an array shaped as `like` again."""',
            "    shape = (like.shape[1], like.shape[0], *like.shape[2:])",
            "    return np.moveaxis(rows.reshape(shape), 0, 1).astype(like.dtype)",
            "",
            "",
            "def forward(x, training):",
            '    """The output, and what its backward needs; training moves the running statistics."""',
            f"    global running_mean, running_var{', updates' if layer.momentum is None else ''}",
            "    values = rows(x)",
            "    mean, var = running_mean, running_var",
            *(["    training = training and not frozen"] if self.freezes else []),
            *([] if layer.tracked else ["    training = True  # no running statistics are kept"]),
            "    if training:",
            "        n = values.shape[1]",
            "        mean = values.mean(axis=1, keepdims=True)",
            "        var = ((values - mean) * (values - mean)).mean(axis=1, keepdims=True)",
            f"        bessel = np.{work}(n) / np.{work}(n - 1)",
            *self.update(),
            "    inverse = 1 / np.sqrt(var + epsilon)",
            "    deviation = values - mean",
            "    xhat = deviation * inverse",
            "    return shaped(gamma * xhat + beta, x), (deviation, xhat, inverse, var, training)",
            "",
            "",
            *_BACKWARD,
        ]

    def forward(self, call: Call) -> Lines:
        """Call it."""
        if call.mask is not None:
            raise CannotWrite("of the formulas those with a mask are not written out")
        n = call.number  # doing it again in the backward would leave everything as it is
        return [f"y_{n}, kept_{n} = forward({call.x}, training={call.mode == 'train'})"]

    @property
    def freezes(self) -> bool:
        """Tell whether the layer is ever frozen."""
        return any(step.freeze is not None for step in self.case.steps)

    def update(self) -> Lines:
        """Return the lines that move the running statistics."""
        layer, lines = self.layer, []
        if not layer.tracked:
            return []
        if layer.momentum is None:
            lines = ["        updates += 1", f"        momentum = np.{self.work}(1 / updates)"]
        lines += [
            "        running_mean = (1 - momentum) * running_mean + momentum * mean",
            "        running_var = (1 - momentum) * running_var + momentum * (var * bessel)",
        ]
        if layer.param_dtype == "float16":
            kept = f"astype(np.float16).astype(np.{self.work})"
            lines.append(f"        running_mean, running_var = running_mean.{kept}, running_var.{kept}")
        return lines

    def freezing(self, *, wanted: bool) -> Lines:
        """Return the line that says whether the layer is frozen, where that is asked for."""
        return [f"frozen = {wanted}"] if self.freezes else []

    def freeze(self, *, wanted: bool) -> Lines:
        """Do in train as in evaluate, or no longer."""
        return self.freezing(wanted=wanted)

    def reload(self) -> Lines:
        """Save the state and read it back."""
        return [
            "file = io.BytesIO()",
            "np.savez(file, running_mean=running_mean, running_var=running_var)",
            "file.seek(0)",
            "kept = np.load(file)",
            'running_mean, running_var = kept["running_mean"], kept["running_var"]',
        ]

    def put(self, name: str, array: str) -> Lines:
        """Overwrite the row of numbers."""
        return [f"{name} = {array}.astype(np.{self.work})[:, None]"]

    def automatic(self, call: Call) -> Lines:
        """Train where a gradient is taken, else evaluate."""
        return self.forward(call)

    def replicate(self, call: Call) -> Lines:
        """Train on all rows together."""
        n = call.number
        return [f"y_{n}, kept_{n} = forward(np.concatenate([{', '.join(call.replicas)}]), training=True)"]

    def export(self, call: Call) -> Lines:
        """Call what is left of the layer in inference, whatever the mode."""
        return [f"y_{call.number}, _ = forward({call.x}, training={not self.layer.tracked})"]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Call it."""
        if {"running_mean", "running_var"} & set(wrt):
            raise CannotWrite("of the formulas the gradient of the statistics is not written out")
        names = ", ".join(f"d{name}_{number}" for name in ("x", "gamma", "beta"))
        return [f"{names} = backward(kept_{call.number}, {dy})"] + [
            f"d{name}_{number} = d{name}_{number}.astype(np.{self.layer.param_dtype})"
            for name in ("gamma", "beta") if name in wrt and self.layer.param_dtype != self.work
        ]  # fmt: skip

    def read(self, name: str) -> str:
        """Read the row of numbers."""
        return f"{name}[:, 0].astype(np.{self.layer.param_dtype})"
