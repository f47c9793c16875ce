"""Scripts of Haiku, Equinox and stax."""

from __future__ import annotations

from conformance.adapters.scripts.jax import JaxWriter
from conformance.adapters.scripts.writer import CannotWrite, Lines, arguments

__all__ = ["EquinoxBatch", "EquinoxEma", "Haiku", "Stax"]


class Haiku(JaxWriter):
    """The module transformed into functions of its parameters and state."""

    places = {  # noqa: RUF012
        "gamma": '["params"]["batch_norm"]["scale"]', "beta": '["params"]["batch_norm"]["offset"]',
        "running_mean": '["state"]["batch_norm/~/mean_ema"]["average"]',
        "running_var": '["state"]["batch_norm/~/var_ema"]["average"]',
    }  # fmt: skip

    @property
    def own_imports(self) -> Lines:
        """Import Haiku, and the policies of mixed precision where one is set."""
        return ["import haiku as hk", *(["import jmp"] if self._policy else [])]

    @property
    def _policy(self) -> bool:
        return (self.layer.dtype, self.layer.param_dtype) != ("float32", "float32")

    def make(self) -> Lines:
        """Transform, initialise, overwrite."""
        layer = self.layer
        given = arguments(
            create_scale=layer.gamma, create_offset=layer.beta, decay_rate=self.kept_weight(), eps=layer.epsilon,
            data_format='"N...C"' if self.last or layer.rank == 2 else '"NC..."',
        )  # fmt: skip
        sample = [1] * layer.rank
        sample[-1 if self.last or layer.rank == 2 else 1] = layer.channels
        policy: Lines = []
        if self._policy:
            full = self.dtype(layer.param_dtype)
            policy = [
                f"    policy = jmp.Policy({full}, {full}, {self.dtype(layer.dtype)})  # parameters, compute, output",
                "    hk.mixed_precision.set_policy(hk.BatchNorm, policy)",
            ]
        return [
            "def batch_norm(x, is_training):",
            *policy,
            f"    layer = hk.BatchNorm({given})",
            "    return layer(x, is_training=is_training)",
            "",
            "",
            "layer = hk.transform_with_state(batch_norm)",
            f"params, state = layer.init(None, jnp.zeros({tuple(sample)}, {self.dtype(layer.dtype)}), True)",
            'variables = {"params": params, "state": state}',
            *(
                f"variables{place} = {self.tensor(name)}.reshape(variables{place}.shape)"
                for name, place in self.places.items()
                if name in self.held
            ),
        ]

    def functions(self) -> Lines:
        """Apply the transformed module."""
        return [
            "def train(variables, x):",
            '    y, state = layer.apply(variables["params"], variables["state"], None, x, True)',
            '    return y, {"state": state}',
            "",
            "",
            "def evaluate(variables, x):",
            '    return layer.apply(variables["params"], variables["state"], None, x, False)[0]',
            "",
        ]

    def plain(self, value: str, name: str) -> str:
        """Return the values without Haiku's dimensions of one."""
        return f"{super().plain(value, name)}.reshape(-1)"


class _Equinox(JaxWriter):
    """A module called on each row under ``jax.vmap`` over a named axis."""

    native_last, always_differentiated = False, True
    places = {"gamma": '["weight"]', "beta": '["bias"]', "running_mean": '["mean"]', "running_var": '["var"]'}  # noqa: RUF012
    kind = ""

    @property
    def own_imports(self) -> Lines:
        """Import Equinox."""
        return ["import equinox as eqx"]

    @property
    def _indices(self) -> tuple[str, str]:
        if self.kind == "ema":
            return "ema_state_index", "ema_first_time_index"
        return "batch_state_index", "batch_counter"

    def make(self) -> Lines:
        """Make module and state; the arrays of both are ``variables``."""
        layer = self.layer
        affine = layer.gamma or layer.beta
        given = arguments(
            layer.channels, '"batch"', eps=layer.epsilon, momentum=self.kept_weight(),
            channelwise_affine=None if affine else "False", dtype=self.dtype(layer.param_dtype), mode=f'"{self.kind}"',
        )  # fmt: skip
        kept, counter = self._indices
        has = {"gamma": layer.gamma, "beta": layer.beta}
        lines = [
            f"layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)({given})",
            "leaves, structure = jax.tree.flatten(state)",
            f"mean, var = state.get(layer.{kept})",
            f'variables = {{"mean": mean, "var": var, "counter": state.get(layer.{counter})}}',
        ]
        lines += [
            f"variables{self.places[name]} = {self.tensor(name) if name in self.held else own}"
            for name, own in (("gamma", "layer.weight"), ("beta", "layer.bias"))
            if has[name]
        ]
        if "running_mean" in self.held and (self.kind == "ema" or self.case.state != "initial"):
            long = "2**30" if self.kind == "batch" else "False"
            lines += [f"variables{self.places[name]} = {self.tensor(name)}" for name in ("running_mean", "running_var")]
            lines.append(f'variables["counter"] = jnp.array({long})  # as of a layer that was trained before')
        return lines

    def functions(self) -> Lines:
        """Fill module and state with the variables, and call the module on each row."""
        kept, counter = self._indices
        has = [leaf for leaf, given in (("weight", self.layer.gamma), ("bias", self.layer.beta)) if given]
        filled = [
            f'    module = eqx.tree_at(lambda one: one.{leaf}, {"layer" if not k else "module"}, variables["{leaf}"])'
            for k, leaf in enumerate(has)
        ]
        lines = [
            "def call(variables, x, inference):",
            *(filled or ["    module = layer"]),
            f'    state = jax.tree.unflatten(structure, leaves).set(layer.{counter}, variables["counter"])',
            f'    state = state.set(layer.{kept}, (variables["mean"], variables["var"]))',
            "    y, state = jax.vmap(",
            '        lambda row: module(row, state, inference=inference), axis_name="batch", out_axes=(0, None)',
            "    )(x)",
            f"    mean, var = state.get(layer.{kept})",
            f'    return y, {{"mean": mean, "var": var, "counter": state.get(layer.{counter})}}',
            "",
            "",
            "def train(variables, x):",
            "    return call(variables, x, inference=False)",
            "",
            "",
            "def evaluate(variables, x):",
            "    return call(variables, x, inference=True)[0]",
            "",
        ]
        if self.kind == "batch":
            lines += [
                "",
                "def used(name):",
                '    """Return what evaluating uses: the average, debiased by the number of updates."""',
                '    if not int(variables["counter"]):',
                "        return variables[name]",
                '    return variables[name] / jnp.asarray(1 - layer.momentum ** variables["counter"])',
                "",
            ]
        return lines

    def read(self, name: str) -> str:
        """Read the average, as evaluating uses it."""
        if self.kind == "batch":
            return self.plain(f'used("{name.removeprefix("running_")}")', name)
        return super().read(name)


class EquinoxBatch(_Equinox):
    """``mode="batch"``."""

    kind = "batch"


class EquinoxEma(_Equinox):
    """``mode="ema"``."""

    kind = "ema"


class Stax(JaxWriter):
    """A function of beta and gamma that keeps nothing."""

    places = {"gamma": '["gamma"]', "beta": '["beta"]'}  # noqa: RUF012

    @property
    def own_imports(self) -> Lines:
        """Import stax."""
        return ["from jax.example_libraries import stax"]

    def make(self) -> Lines:
        """Make the function and its parameters."""
        layer = self.layer
        channels = layer.rank - 1 if self.last else 1
        others = tuple(axis for axis in range(layer.rank) if axis != channels)
        names = [name for name in ("gamma", "beta") if name in self.held]
        given = ", ".join(f'"{name}": {self.tensor(name)}' for name in names)
        made = arguments(others, epsilon=layer.epsilon, center=layer.beta, scale=layer.gamma)
        return [
            f"_, batch_norm = stax.BatchNorm({made})",
            f"variables = {{{given}}}",
        ]

    def functions(self) -> Lines:
        """Call it; it knows no mode."""
        return [
            "def evaluate(variables, x):",
            '    return batch_norm((variables.get("beta", ()), variables.get("gamma", ())), x)',
            "",
            "",
            "def train(variables, x):",
            "    return evaluate(variables, x), {}",
            "",
        ]

    def read(self, name: str) -> str:
        """Refuse: there is no state."""
        raise CannotWrite("stax.BatchNorm keeps no running statistics")
