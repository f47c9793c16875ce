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
        return lines + [f"variables{self.places[name]} = {self.tensor(name)}" for name in self.places
                        if name in self.held]  # fmt: skip

    def functions(self) -> Lines:
        """Apply the module."""
        return [
            "def train(variables, x):",
            '    return layer.apply(variables, x, use_running_average=False, mutable=["batch_stats"])',
            "",
            "",
            "def evaluate(variables, x):",
            "    return layer.apply(variables, x, use_running_average=True)",
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
            *(f"variables{place} = {self.tensor(name)}" for name, place in self.places.items() if name in self.held),
        ]

    def functions(self) -> Lines:
        """Merge, call, and give back the statistics."""
        return [
            "def call(variables, x, use_running_average):",
            "    _, state = nnx.split(layer)",
            "    nnx.replace_by_pure_dict(state, variables)",
            "    merged = nnx.merge(graph, state)",
            "    y = merged(x, use_running_average=use_running_average)",
            '    return y, {"mean": merged.mean[...], "var": merged.var[...]}',
            "",
            "",
            "def train(variables, x):",
            "    return call(variables, x, use_running_average=False)",
            "",
            "",
            "def evaluate(variables, x):",
            "    return call(variables, x, use_running_average=True)[0]",
            "",
        ]


_RELOADED = [
    "written = flax.serialization.to_bytes(variables)",
    "variables = flax.serialization.from_bytes(variables, written)",
    "variables = jax.tree.map(jnp.asarray, variables)",
]


def _with_serialization(writer: JaxWriter, imports: Lines) -> Lines:
    reloads = any(step.reload for step in writer.case.steps)
    return [*(["import flax.serialization"] if reloads else []), *imports]


def _broken(line: str, width: int = 110) -> Lines:
    """Return a constructor on several lines where it is long."""
    if len(line) <= width:
        return [line]
    head, _, rest = line.partition("(")
    return [f"{head}(", f"    {rest[:-1]},", ")"]
