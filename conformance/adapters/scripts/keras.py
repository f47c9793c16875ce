"""Scripts of Keras on any backend: what is built, and how its values are given."""

from __future__ import annotations

from typing import ClassVar

from conformance.adapters.scripts.jax import JaxWriter
from conformance.adapters.scripts.onnx import session
from conformance.adapters.scripts.torch import TorchWriter
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments

__all__ = ["KerasJax", "KerasLayer", "KerasTorch"]


class KerasLayer(Writer):
    """The Keras object behind the layer."""

    native_last = True
    backend: ClassVar[str] = ""
    library: ClassVar[str] = "keras"
    attributes: ClassVar[dict[str, str]] = {
        "gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_variance",
    }  # fmt: skip

    @property
    def keras_imports(self) -> Lines:
        """Choose the backend before Keras is imported."""
        filed = any(step.reload or step.exported for step in self.case.steps)
        beside = ["import tempfile"] if filed else []
        return ["import os", *beside, f'os.environ["KERAS_BACKEND"] = "{self.backend}"', "import keras"]

    def constructor(self) -> str:
        """Return the class of the layer."""
        return f"{self.library}.layers.BatchNormalization"

    def options(self) -> dict[str, str | None]:
        """Return further arguments."""
        return {}

    def made(self) -> Lines:
        """Make the layer, and assign its variables."""
        layer = self.layer
        free = ("None",) * (layer.rank - 2)
        shape = ("None", *free, str(layer.channels)) if self.last else ("None", str(layer.channels), *free)
        mixed = layer.dtype != layer.param_dtype
        given = arguments(
            axis=-1 if self.last or (layer.rank == 2 and layer.channel_axis != "second") else 1,
            momentum=self.kept_weight(), epsilon=layer.epsilon,
            scale=None if layer.gamma else "False", center=None if layer.beta else "False",
            dtype=f'"mixed_{layer.dtype}"' if mixed else f'"{layer.dtype}"', **self.options(),
        )  # fmt: skip
        return [
            f"layer = {self.constructor()}({given})",
            f"layer.build(({', '.join(shape)}))",
            *(f"layer.{attribute}.assign({self.given(name)})" for name, attribute in self.attributes.items()
              if name in self.held),
        ]  # fmt: skip

    def reloaded(self) -> Lines:
        """Save the weights of a model of this layer, and load them into a new one."""
        free = ("None",) * (self.layer.rank - 2)
        inner = (*free, str(self.layer.channels)) if self.last else (str(self.layer.channels), *free)
        model = f"{self.library}.Sequential([{self.library}.Input(({', '.join(inner)},)), layer])"
        return [
            "with tempfile.TemporaryDirectory() as folder:",
            '    file = folder + "/layer.weights.h5"',
            f"    {model}.save_weights(file)",
            *(f"    {line}" for line in self.made_new()),
            f"    {model}.load_weights(file)",
        ]

    def model(self) -> str:
        """Return the expression of a model of this one layer, of the dtype that the layer takes."""
        free = ("None",) * (self.layer.rank - 2)
        inner = (*free, str(self.layer.channels)) if self.last else (str(self.layer.channels), *free)
        given = f"({', '.join(inner)},), dtype=\"{self.layer.dtype}\""
        return f"{self.library}.Sequential([{self.library}.Input({given}), layer])"

    def made_new(self) -> Lines:
        """Make a layer that is given no values."""
        held, self.held = self.held, frozenset()
        try:
            return KerasLayer.made(self)
        finally:
            self.held = held

    def given(self, name: str) -> str:
        """Return what a variable is assigned; Keras casts it to the variable's dtype."""
        return name


class KerasJax(KerasLayer, JaxWriter):
    """``keras.layers.BatchNormalization`` on JAX, its variables as values."""

    backend = "jax"
    settable = True

    @property
    def places(self) -> dict[str, str]:  # type: ignore[override]
        """Return where Keras lists each variable."""
        has = [name for name in ("gamma", "beta") if getattr(self.layer, name)]
        trainable = {name: f'["trainable"][{k}]' for k, name in enumerate(has)}
        return {**trainable, "running_mean": '["state"][0]', "running_var": '["state"][1]'}

    @property
    def imports(self) -> Lines:
        """Choose the backend, import both."""
        return [*self.keras_imports, *self.jax_imports, self._64]

    def mask(self, name: str) -> str:
        """Return the mask, which for Keras has no axis for the channels."""
        return f"jnp.array({name})"

    def make(self) -> Lines:
        """Take the values out of the layer."""
        return [*self.made(), *self.taken_out()]

    def taken_out(self) -> Lines:
        """Return the lines that make ``variables``."""
        return [
            "variables = {",
            '    "trainable": [variable.value for variable in '
            + ("layer.trainable_variables]," if self.layer.gamma or self.layer.beta else "[]],"),
            '    "state": [layer.moving_mean.value, layer.moving_variance.value],',
            "}",
        ]

    def functions(self) -> Lines:
        """Call the layer as a function of its values."""
        given, mask = self.mask_given, self.mask_passed
        return [
            f"def call(variables, x, training{given}):",
            "    held = [layer.moving_mean, layer.moving_variance, *parameters]",
            '    given = [*variables["state"], *variables["trainable"]]',
            "    with keras.StatelessScope(state_mapping=list(zip(held, given))) as scope:",
            f"        y = layer(x, training=training{mask})",
            "    return y, [scope.get_current_value(one) for one in held[:2]]",
            "",
            "",
            f"def train(variables, x{given}):",
            f"    y, state = call(variables, x, training=True{mask})",
            '    return y, {"state": state}',
            "",
            "",
            f"def evaluate(variables, x{given}):",
            f"    return call(variables, x, training=False{mask})[0]",
            "",
        ]

    def build(self) -> Lines:
        """Remember the parameters: a frozen layer no longer lists them as trainable."""
        lines = super().build()
        at = next(k for k, line in enumerate(lines) if line.startswith("variables = {"))
        return [*lines[:at], *self.parameters(), *lines[at:]]

    def parameters(self) -> Lines:
        """Return the line that lists the parameters."""
        names = [f"layer.{name}" for name in ("gamma", "beta") if getattr(self.layer, name)]
        return [f"parameters = [{', '.join(names)}]"]

    def reload(self) -> Lines:
        """Assign the values, save the weights, and take them out of a new layer that has loaded them."""
        lines = [f"layer.{self.attributes[name]}.assign(variables{place})" for name, place in self.places.items()]
        return [*lines, *self.reloaded(), *self.parameters(), *self.taken_out()]

    def freeze(self, *, wanted: bool) -> Lines:
        """Make the layer untrainable, or trainable again."""
        forgotten = ["jax.clear_caches()  # what was compiled has seen the layer as it was"]
        return [f"layer.trainable = {not wanted}", *(forgotten if self.execution == "jit" else [])]


class KerasTorch(KerasLayer, TorchWriter):
    """``keras.layers.BatchNormalization`` on PyTorch."""

    backend = "torch"
    names = {name: f"layer.{attribute}.value" for name, attribute in KerasLayer.attributes.items()}  # noqa: RUF012

    @property
    def imports(self) -> Lines:
        """Choose the backend, import both."""
        recomputed = any(step.recompute for step in self.case.steps)
        beside = ["from torch.utils.checkpoint import checkpoint"] if recomputed else []
        exports = any(step.exported for step in self.case.steps)
        return [*self.keras_imports, *(["import onnxruntime"] if exports else []), "import torch", *beside]

    def build(self) -> Lines:
        """Make the layer."""
        return self.made()

    def called(self, call: Call, x: str) -> str:
        """Call the layer."""
        mask = f", mask=torch.from_numpy({call.mask})" if call.mask is not None else ""
        given = f"training={call.mode == 'train'}{mask}"
        if call.recompute:
            return f"checkpoint(lambda x: layer(x, {given}), {x}, use_reentrant=False)"
        return f"layer({x}, {given})"

    def export(self, call: Call) -> Lines:
        """Export a model of this one layer to ONNX, and run that on ONNX Runtime."""
        if call.mode == "train":
            raise CannotWrite("Model.export knows no mode")
        n, x = call.number, f"np.ascontiguousarray({self.inside(call.x)})"
        return [
            f"model = {self.model()}",
            f"model({self.tensor(call.x)}, training=False)  # Keras exports what has been called",
            "with tempfile.TemporaryDirectory() as folder:",
            '    file = folder + "/layer.onnx"',
            '    model.export(file, format="onnx", verbose=False)',
            *(f"    {line}" for line in session("file")),
            f"(out_{n},) = session.run(None, {{session.get_inputs()[0].name: {x}}})",
            f"y_{n} = {self.outside(f'out_{n}')}",
        ]

    def before(self, call: Call) -> Lines:
        """Copy the variables."""
        kept = ", ".join(f'"{name}": {self.names[name]}.clone()' for name in ("running_mean", "running_var"))
        return [f"before_{call.number} = {{{kept}}}"]

    def on_leaves(self, call: Call) -> Lines:
        """Call the layer on the copies, in a scope of Keras."""
        n = call.number
        pairs = ", ".join(
            f'(layer.{self.attributes[name]}, copies["{name}"])' for name in ("running_mean", "running_var")
        )
        return [
            f"copies = {{name: one.requires_grad_() for name, one in before_{n}.items()}}",
            f"with keras.StatelessScope(state_mapping=[{pairs}]):",
            f"    again = {self.called(call, f'x_{n}')}",
        ]

    def on_copies(self, call: Call) -> Lines:
        """Call the layer on copies, in a scope of Keras."""
        pairs = ", ".join(
            f"(layer.{self.attributes[name]}, {self.names[name]}.clone())" for name in ("running_mean", "running_var")
        )
        return [
            f"with keras.StatelessScope(state_mapping=[{pairs}]):",
            f"    return {self.called(call, 'x')}",
        ]

    def read(self, name: str) -> str:
        """Copy the variable: it may be overwritten."""
        return self.plain(f"{self.names[name]}.detach()") + ".copy()"

    def put(self, name: str, array: str) -> Lines:
        """Assign the variable."""
        return [f"layer.{self.attributes[name]}.assign({array})"]

    def reload(self) -> Lines:
        """Save the weights and load them into a new layer."""
        return self.reloaded()

    def freeze(self, *, wanted: bool) -> Lines:
        """Make the layer untrainable, or trainable again."""
        return [f"layer.trainable = {not wanted}"]
