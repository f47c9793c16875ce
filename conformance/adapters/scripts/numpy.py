"""Scripts of the formulas themselves, written out in NumPy: what the canary computes."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer

__all__ = ["Formulas"]


class Formulas(Writer):
    """The reference dialect: sample variance, blended; statistics of the batch in train, constants in evaluate."""

    @property
    def imports(self) -> Lines:
        """Import nothing more."""
        return []

    @property
    def work(self) -> str:
        """Return the dtype that is computed in: float32 for 16-bit input."""
        return "float64" if "float64" in (self.layer.dtype, self.layer.param_dtype) else "float32"

    def build(self) -> Lines:
        """Define forward and backward, one channel a row."""
        layer, work = self.layer, self.work
        if self.sixteen:
            raise CannotWrite("NumPy has no bfloat16")
        if not layer.tracked or layer.momentum is None:
            raise CannotWrite("of the formulas only those with a momentum and running statistics are written out")
        own = {"gamma": "ones", "beta": "zeros", "running_mean": "zeros", "running_var": "ones"}
        make = [
            f"{name} = {name}.astype(np.{work})[:, None]" if name in self.held
            else f"{name} = np.{kind}(({layer.channels}, 1), np.{work})"
            for name, kind in own.items()
        ]  # fmt: skip
        return [
            *make,
            f"epsilon, momentum = np.{work}({layer.epsilon}), np.{work}({layer.momentum})",
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
            "    global running_mean, running_var",
            "    values = rows(x)",
            "    mean, var = running_mean, running_var",
            "    if training:",
            "        n = values.shape[1]",
            "        mean = values.mean(axis=1, keepdims=True)",
            "        var = ((values - mean) * (values - mean)).mean(axis=1, keepdims=True)",
            f"        bessel = np.{work}(n) / np.{work}(n - 1)",
            "        running_mean = (1 - momentum) * running_mean + momentum * mean",
            "        running_var = (1 - momentum) * running_var + momentum * (var * bessel)",
            "    inverse = 1 / np.sqrt(var + epsilon)",
            "    deviation = values - mean",
            "    xhat = deviation * inverse",
            "    return shaped(gamma * xhat + beta, x), (deviation, xhat, inverse, var, training)",
            "",
            "",
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

    def forward(self, call: Call) -> Lines:
        """Call it."""
        if call.mask is not None or call.recompute:
            raise CannotWrite("of the formulas neither masks nor recomputation are written out")
        n = call.number
        return [f"y_{n}, kept_{n} = forward({call.x}, training={call.mode == 'train'})"]

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
