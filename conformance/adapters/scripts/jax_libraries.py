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
        "hidden_mean": '["state"]["batch_norm/~/mean_ema"]["hidden"]',
        "hidden_var": '["state"]["batch_norm/~/var_ema"]["hidden"]',
        "count_mean": '["state"]["batch_norm/~/mean_ema"]["counter"]',
        "count_var": '["state"]["batch_norm/~/var_ema"]["counter"]',
    }  # fmt: skip
    #: The averages, and what they are made from: the sums that are debiased, and their counts.
    state_names = ("running_mean", "running_var", "hidden_mean", "hidden_var", "count_mean", "count_var")

    @property
    def own_imports(self) -> Lines:
        """Import Haiku, and the policies of mixed precision where one is set."""
        return [*_pickle(self), "import haiku as hk", *(["import jmp"] if self._policy else [])]

    @property
    def _policy(self) -> bool:
        return (self.layer.dtype, self.layer.param_dtype) != ("float32", "float32")

    def given(self) -> str:
        """Return the arguments of the constructor."""
        layer = self.layer
        return arguments(
            create_scale=layer.gamma, create_offset=layer.beta, decay_rate=self.kept_weight(), eps=layer.epsilon,
            data_format='"N...C"' if self.last or layer.rank == 2 else '"NC..."',
        )  # fmt: skip

    def policy(self) -> Lines:
        """Return the lines that set the precisions, where they are not Haiku's own."""
        if not self._policy:
            return []
        full = self.dtype(self.layer.param_dtype)
        return [
            f"    policy = jmp.Policy({full}, {full}, {self.dtype(self.layer.dtype)})  # parameters, compute, output",
            "    hk.mixed_precision.set_policy(hk.BatchNorm, policy)",
        ]

    def make(self) -> Lines:
        """Transform, initialise, overwrite."""
        layer = self.layer
        sample = [1] * layer.rank
        sample[-1 if self.last or layer.rank == 2 else 1] = layer.channels
        return [
            "def batch_norm(x, is_training):",
            *self.policy(),
            f"    layer = hk.BatchNorm({self.given()})",
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

    def synchronised(self) -> Lines:
        """Transform the module with its option for an axis."""
        return [
            "def over_replicas(x):",
            *self.policy(),
            f'    layer = hk.BatchNorm({self.given()}, cross_replica_axis="replica", name="batch_norm")',
            "    return layer(x, is_training=True)",
            "",
            "",
            "def synchronised(variables, x):",
            "    transformed = hk.transform_with_state(over_replicas)",
            '    y, state = transformed.apply(variables["params"], variables["state"], None, x)',
            '    return y, {"state": state}',
            "",
        ]

    def reload(self) -> Lines:
        """Write the variables to bytes and read them back."""
        return _PICKLED

    def put(self, name: str, array: str) -> Lines:
        """Replace the array, in the shape that Haiku has for it."""
        place = f"variables{self.places[name]}"
        return [f"{place} = jnp.array({array}, {place}.dtype).reshape({place}.shape)"]

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
        beside = ["import io"] if any(step.reload for step in self.case.steps) else []
        return [*beside, "import equinox as eqx"]

    @property
    def long(self) -> str:
        """Return what counts the updates of a layer that was trained for long, or tells that it was."""
        return "2**30" if self.kind == "batch" else "False"

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
            lines += [f"variables{self.places[name]} = {self.tensor(name)}" for name in ("running_mean", "running_var")]
            lines.append(f'variables["counter"] = jnp.array({self.long})  # as of a layer that was trained before')
        return lines

    def functions(self) -> Lines:
        """Fill module and state with the variables, and call the module on each row."""
        kept, counter = self._indices
        has = [leaf for leaf, given in (("weight", self.layer.gamma), ("bias", self.layer.beta)) if given]
        filled = [
            f'    module = eqx.tree_at(lambda one: one.{leaf}, {"layer" if not k else "module"}, variables["{leaf}"])'
            for k, leaf in enumerate(has)
        ]
        replicated = any(step.replicas is not None for step in self.case.steps)
        named = '    module = eqx.tree_at(lambda one: one.axis_name, module, ("batch", *axes))'
        lines = [
            f"def call(variables, x, inference{', axes=()' if replicated else ''}):",
            *(filled or ["    module = layer"]),
            *([named] if replicated else []),
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

    def synchronised(self) -> Lines:
        """Take the statistics over both axes."""
        return [
            "def synchronised(variables, x):",
            '    return call(variables, x, inference=False, axes=("replica",))',
            "",
        ]

    def reload(self) -> Lines:
        """Serialise the variables and read them back."""
        return [
            "file = io.BytesIO()",
            "eqx.tree_serialise_leaves(file, (variables, leaves))",
            "file.seek(0)",
            "variables, leaves = eqx.tree_deserialise_leaves(file, (variables, leaves))",
        ]

    def put(self, name: str, array: str) -> Lines:
        """Replace the average; the counter becomes that of a layer that was trained for long."""
        lines = [f"variables{self.places[name]} = jnp.array({array})"]
        if name == "running_var":
            lines.append(f'variables["counter"] = jnp.array({self.long})  # as of a layer that was trained before')
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
        return [*_pickle(self), "from jax.example_libraries import stax"]

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

    def reload(self) -> Lines:
        """Write the parameters to bytes and read them back."""
        return _PICKLED

    def read(self, name: str) -> str:
        """Refuse: there is no state."""
        raise CannotWrite("stax.BatchNorm keeps no running statistics")


_PICKLED = [
    "written = pickle.dumps(jax.device_get(variables))",
    "variables = jax.tree.map(jnp.asarray, pickle.loads(written))",
]


def _pickle(writer: JaxWriter) -> Lines:
    return ["import pickle"] if any(step.reload for step in writer.case.steps) else []
