"""Scripts of Flax: ``linen.BatchNorm`` and ``nnx.BatchNorm``."""

from __future__ import annotations

from conformance.adapters.scripts.jax import JaxWriter
from conformance.adapters.scripts.writer import Lines, arguments

__all__ = ["Linen", "LinenTwoPass", "Nnx"]


class Linen(JaxWriter):
    """A module and its variables, ``params`` and ``batch_stats``."""

    places = {  # noqa: RUF012
        "gamma": '["params"]["scale"]', "beta": '["params"]["bias"]', "running_mean": '["batch_stats"]["mean"]',
        "running_var": '["batch_stats"]["var"]',
    }  # fmt: skip
    fast: str | None = None
    settable = True

    @property
    def own_imports(self) -> Lines:
        """Import linen."""
        return _with_serialization(self, ["import flax.linen as nn"])

    def reload(self) -> Lines:
        """Write the variables to bytes and read them back."""
        return _RELOADED

    def make(self) -> Lines:
        """Make the module; its variables are those given, else its own."""
        layer = self.layer
        given = arguments(
            axis=-1 if self.last or layer.rank == 2 else 1, momentum=self.kept_weight(), epsilon=layer.epsilon,
            dtype=self.dtype(layer.dtype), param_dtype=self.dtype(layer.param_dtype),
            use_scale=None if layer.gamma else "False", use_bias=None if layer.beta else "False",
            use_fast_variance=self.fast,
        )  # fmt: skip
        sample = (1, *(1,) * (layer.rank - 2), layer.channels) if self.last else (1, layer.channels)
        sample = sample if len(sample) == layer.rank else (*sample, *(1,) * (layer.rank - 2))
        lines = [f"layer = nn.BatchNorm({given})".replace(", param_dtype", ",\n    param_dtype")]
        lines = _broken(lines[0].replace(",\n   ", ","))
        lines.append(
            f"variables = layer.init(jax.random.key(0), jnp.zeros({sample}, {self.dtype(layer.dtype)}),"
            " use_running_average=True)"
        )
        return lines + [f"variables{self.places[name]} = {_held(self, name)}" for name in self.places
                        if name in self.held]  # fmt: skip

    def functions(self) -> Lines:
        """Apply the module."""
        given, mask = self.mask_given, self.mask_passed
        return [
            f"def train(variables, x{given}):",
            f'    return layer.apply(variables, x, use_running_average=False{mask}, mutable=["batch_stats"])',
            "",
            "",
            f"def evaluate(variables, x{given}):",
            f"    return layer.apply(variables, x, use_running_average=True{mask})",
            "",
        ]

    def synchronised(self) -> Lines:
        """Name the axis in a copy of the module."""
        return [
            "def synchronised(variables, x):",
            '    named = layer.clone(axis_name="replica")',
            '    return named.apply(variables, x, use_running_average=False, mutable=["batch_stats"])',
            "",
        ]


class LinenTwoPass(Linen):
    """The module with its option for the accurate variance."""

    fast = "False"


class Nnx(JaxWriter):
    """A module, split into its definition and its variables."""

    places = {"gamma": '["scale"]', "beta": '["bias"]', "running_mean": '["mean"]', "running_var": '["var"]'}  # noqa: RUF012
    settable = True

    @property
    def own_imports(self) -> Lines:
        """Import nnx."""
        return _with_serialization(self, ["from flax import nnx"])

    def reload(self) -> Lines:
        """Write the variables to bytes and read them back."""
        return _RELOADED

    def make(self) -> Lines:
        """Make the module and take its variables out."""
        layer = self.layer
        given = arguments(
            layer.channels, axis=-1 if self.last or layer.rank == 2 else 1, momentum=self.kept_weight(),
            epsilon=layer.epsilon, dtype=self.dtype(layer.dtype), param_dtype=self.dtype(layer.param_dtype),
            use_scale=None if layer.gamma else "False", use_bias=None if layer.beta else "False", rngs="nnx.Rngs(0)",
        )  # fmt: skip
        return [
            *_broken(f"layer = nnx.BatchNorm({given})"),
            "graph, state = nnx.split(layer)",
            "variables = nnx.to_pure_dict(state)",
            *(f"variables{place} = {_held(self, name)}" for name, place in self.places.items() if name in self.held),
        ]

    def functions(self) -> Lines:
        """Merge, call, and give back the statistics."""
        given, mask = self.mask_given, self.mask_passed
        return [
            f"def call(variables, x, use_running_average, axis_name=None{given}):",
            "    _, state = nnx.split(layer)",
            "    nnx.replace_by_pure_dict(state, variables)",
            "    merged = nnx.merge(graph, state)",
            "    merged.axis_name = axis_name",
            f"    y = merged(x, use_running_average=use_running_average{mask})",
            '    return y, {"mean": merged.mean[...], "var": merged.var[...]}',
            "",
            "",
            f"def train(variables, x{given}):",
            f"    return call(variables, x, use_running_average=False{mask})",
            "",
            "",
            f"def evaluate(variables, x{given}):",
            f"    return call(variables, x, use_running_average=True{mask})[0]",
            "",
        ]

    def synchronised(self) -> Lines:
        """Name the axis."""
        return [
            "def synchronised(variables, x):",
            '    return call(variables, x, use_running_average=False, axis_name="replica")',
            "",
        ]


_RELOADED = [
    "written = flax.serialization.to_bytes(variables)",
    "variables = flax.serialization.from_bytes(variables, written)",
    "variables = jax.tree.map(jnp.asarray, variables)",
]


def _held(writer: JaxWriter, name: str) -> str:
    """Return what a variable is overwritten by: running statistics are float32 at least."""
    if name.startswith("running") and writer.layer.param_dtype in ("float16", "bfloat16"):
        return f"jnp.array({name}, jnp.float32)"
    return writer.tensor(name)


def _with_serialization(writer: JaxWriter, imports: Lines) -> Lines:
    reloads = any(step.reload for step in writer.case.steps)
    return [*(["import flax.serialization"] if reloads else []), *imports]


def _broken(line: str, width: int = 110) -> Lines:
    """Return a constructor on several lines where it is long."""
    if len(line) <= width:
        return [line]
    head, _, rest = line.partition("(")
    return [f"{head}(", f"    {rest[:-1]},", ")"]
