"""Scripts of a whole network: dense layers, batch norms and GELU in turn."""

from __future__ import annotations

from conformance.adapters.scripts.jax import JaxWriter
from conformance.adapters.scripts.keras import KerasTorch
from conformance.adapters.scripts.tensorflow_keras import Keras, Keras2Unfused, Keras2V1
from conformance.adapters.scripts.torch import Module
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments
from conformance.corpus.case import Network

__all__ = [
    "Keras2Network", "Keras2V1Network", "KerasJaxNetwork", "KerasNetwork", "KerasTorchNetwork", "LinenNetwork",
    "LinenTwoPassNetwork", "TorchNetwork",
]  # fmt: skip

_STATE = ("running_mean", "running_var")


class _Stack(Writer):
    """What the scripts have in common: parts of joined arrays, one for each batch norm."""

    @property
    def network(self) -> Network:
        """The stack."""
        assert self.case.network is not None
        return self.case.network

    def parts(self, name: str) -> str:
        """Return the expression of an array's parts."""
        return f"np.split({name}, {self.network.blocks})"

    @property
    def layers(self) -> range:
        """The numbers of the dense layers, from 1."""
        return range(1, self.network.blocks + 2)

    def arrays(self, kind: str) -> str:
        """Return the list of all kernels, or of all biases."""
        return f"[{', '.join(f'{kind}_{k}' for k in self.layers)}]"


class TorchNetwork(_Stack, Module):
    """A ``torch.nn.Sequential``."""

    def build(self) -> Lines:
        """Make the modules and copy the given values into them."""
        if self.execution != "eager":
            raise CannotWrite("a compiled network is not written out")
        given = {"gamma": "weight", "beta": "bias", **{name: name for name in _STATE}}
        dtype = arguments(dtype=f"torch.{self.layer.param_dtype}")
        size = self.network.width
        norm = arguments(size, eps=self.layer.epsilon, momentum=self.layer.momentum)
        return [
            f"kernels, biases = {self.arrays('kernel')}, {self.arrays('bias')}",
            "modules = []",
            "for kernel in kernels[:-1]:",
            f"    modules += [torch.nn.Linear(*kernel.shape[::-1], {dtype}),",
            f"                torch.nn.BatchNorm1d({norm}, {dtype}), torch.nn.GELU()]",
            f"layer = torch.nn.Sequential(*modules, torch.nn.Linear(*kernels[-1].shape[::-1], {dtype}))",
            "norms = [one for one in layer if isinstance(one, torch.nn.BatchNorm1d)]",
            "with torch.no_grad():",
            "    for dense, kernel, bias in zip([*layer[::3]], kernels, biases):",
            "        dense.weight.copy_(torch.from_numpy(kernel))",
            "        dense.bias.copy_(torch.from_numpy(bias))",
            *(line for name, attribute in given.items() if name in self.held for line in (
                f"    for norm, part in zip(norms, {self.parts(name)}):",
                f"        norm.{attribute}.copy_(torch.from_numpy(part))",
            )),
        ]  # fmt: skip

    def read(self, name: str) -> str:
        """Join the buffers."""
        return f"np.concatenate([norm.{name}.numpy() for norm in norms])"

    def put(self, name: str, array: str) -> Lines:
        """Copy each part into its buffer."""
        return [f"for norm, part in zip(norms, {self.parts(array)}):",
                f"    norm.{name}.copy_(torch.from_numpy(part))"]  # fmt: skip


class _KerasStack(_Stack):
    """The Keras layers, whatever the backend."""

    layers_of, erf = "keras.layers", "keras.ops.erf"

    def norm(self) -> str:
        """Return what makes one batch norm."""
        given = arguments(momentum=self.kept_weight(), epsilon=self.layer.epsilon, dtype=f'"{self.layer.dtype}"')
        return f"{self.layers_of}.BatchNormalization({given})"

    def made(self) -> Lines:
        """Make the layers, assign their variables, and define ``stack``, which calls them in turn."""
        given = {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        dtype, width = f'dtype="{self.layer.dtype}"', self.network.width
        return [
            f"kernels, biases = {self.arrays('kernel')}, {self.arrays('bias')}",
            f"dense = [{self.layers_of}.Dense(len(kernel), {dtype}) for kernel in kernels]",
            f"norms = [{self.norm()} for _ in kernels[:-1]]",
            "for layer, kernel, bias in zip(dense, kernels, biases):",
            "    layer.build((None, kernel.shape[1]))",
            "    layer.set_weights([kernel.T, bias])",
            "for norm in norms:",
            f"    norm.build((None, {width}))",
            *(line for name, attribute in given.items() if name in self.held for line in (
                f"for norm, part in zip(norms, {self.parts(name)}):", f"    norm.{attribute}.assign(part)",
            )),
            "",
            "",
            "def stack(x, training):",
            f'    root = np.sqrt(np.asarray(2, "{self.layer.dtype}"))',
            "    for layer, norm in zip(dense, norms):",
            "        z = norm(layer(x), training=training)",
            f"        x = z * 0.5 * ({self.erf}(z / root) + 1.0)",
            "    return dense[-1](x)",
            "",
            "",
        ]  # fmt: skip


class KerasNetwork(_KerasStack, Keras):
    """Keras on TensorFlow."""

    def build(self) -> Lines:
        """Make the stack; trace its calls where they are traced."""
        return [*self.made(), *self.traced()]

    def call_of(self, mode: str, x: str, mask: str = "") -> str:
        """Call the stack."""
        return f"stack({x}, training={mode == 'train'})"

    def read(self, name: str) -> str:
        """Join the variables."""
        return f"np.concatenate([np.asarray(norm.{self.attributes[name]}) for norm in norms])"

    def put(self, name: str, array: str) -> Lines:
        """Assign each part."""
        return [f"for norm, part in zip(norms, {self.parts(array)}):",
                f"    norm.{self.attributes[name]}.assign(part)"]  # fmt: skip


class Keras2Network(KerasNetwork, Keras2Unfused):
    """Keras 2."""

    layers_of, erf = "tf_keras.layers", "tf.math.erf"

    def norm(self) -> str:
        """Return what makes one batch norm, and whether its kernel is fused."""
        given = arguments(momentum=self.kept_weight(), epsilon=self.layer.epsilon, dtype=f'"{self.layer.dtype}"',
                          fused=self.fused if self.fused != "None" else None)  # fmt: skip
        return f"{self.constructor()}({given})"


class Keras2V1Network(Keras2V1, Keras2Network):
    """The layer of TensorFlow 1."""


class KerasTorchNetwork(_KerasStack, KerasTorch):
    """Keras on PyTorch."""

    def build(self) -> Lines:
        """Make the stack."""
        return self.made()

    def called(self, call: Call, x: str) -> str:
        """Call the stack."""
        return f"stack({x}, training={call.mode == 'train'})"

    def read(self, name: str) -> str:
        """Join the variables."""
        return f"np.concatenate([norm.{self.attributes[name]}.value.detach().numpy() for norm in norms])"

    def put(self, name: str, array: str) -> Lines:
        """Assign each part."""
        return [f"for norm, part in zip(norms, {self.parts(array)}):",
                f"    norm.{self.attributes[name]}.assign(part)"]  # fmt: skip


class _JaxStack(_Stack, JaxWriter):
    """A stack as a function of its running statistics, joined."""

    native_last = False
    settable = True
    places = {name: f'["{name}"]' for name in _STATE}  # noqa: RUF012

    def started(self) -> Lines:
        """Return the lines that make ``variables``."""
        own = {"running_mean": "zeros", "running_var": "ones"}
        size = f'({self.network.channels}, "{self.layer.param_dtype}")'
        return [
            "variables = {",
            *(f'    "{name}": jnp.array({name if name in self.held else f"np.{own[name]}{size}"}),' for name in _STATE),
            "}",
        ]


class KerasJaxNetwork(_JaxStack, _KerasStack):
    """Keras on JAX."""

    @property
    def imports(self) -> Lines:
        """Choose the backend, import both."""
        return ["import os", 'os.environ["KERAS_BACKEND"] = "jax"', "import keras", "import jax",
                "import jax.numpy as jnp", self._64]  # fmt: skip

    def make(self) -> Lines:
        """Make the stack."""
        return [*self.made(), *self.started()]

    def functions(self) -> Lines:
        """Call the stack on values of its statistics."""
        return [
            "def call(variables, x, training):",
            '    held = {"running_mean": [norm.moving_mean for norm in norms],',
            '            "running_var": [norm.moving_variance for norm in norms]}',
            "    pairs = [pair for name, joined in variables.items()",
            "             for pair in zip(held[name], jnp.split(joined, len(norms)))]",
            "    with keras.StatelessScope(state_mapping=pairs) as scope:",
            "        y = stack(x, training=training)",
            "    now = {name: [scope.get_current_value(one) for one in of] for name, of in held.items()}",
            "    return y, {name: jnp.concatenate(values) for name, values in now.items()} if training else {}",
            "",
            "",
            "def train(variables, x):",
            "    return call(variables, x, training=True)",
            "",
            "",
            "def evaluate(variables, x):",
            "    return call(variables, x, training=False)[0]",
            "",
        ]


class LinenNetwork(_JaxStack):
    """Modules of Flax linen."""

    fast: str | None = None

    @property
    def own_imports(self) -> Lines:
        """Import linen."""
        return ["import flax.linen as nn"]

    def make(self) -> Lines:
        """Make the modules and their parameters."""
        dtypes = f"dtype={self.dtype(self.layer.dtype)}, param_dtype={self.dtype(self.layer.param_dtype)}"
        norm = arguments(momentum=self.kept_weight(), epsilon=self.layer.epsilon, use_fast_variance=self.fast)
        return [
            f"kernels, biases = {self.arrays('kernel')}, {self.arrays('bias')}",
            f"dense = [nn.Dense(len(kernel), {dtypes}) for kernel in kernels]",
            f"norm = nn.BatchNorm({norm}, {dtypes})",
            'of_dense = [{"kernel": jnp.array(kernel.T), "bias": jnp.array(bias)}',
            "            for kernel, bias in zip(kernels, biases)]",
            'of_norms = [{"scale": jnp.array(scale), "bias": jnp.array(bias)}',
            f"            for scale, bias in zip({self.parts('gamma')}, {self.parts('beta')})]",
            *self.started(),
        ]

    def functions(self) -> Lines:
        """Apply the modules in turn."""
        n = self.network.blocks
        return [
            "def call(variables, x, use_running_average):",
            f'    means, variances = (jnp.split(variables[name], {n}) for name in ("running_mean", "running_var"))',
            "    moved = []",
            "    for layer, parameters, of_norm, mean, var in zip(dense, of_dense, of_norms, means, variances):",
            '        held = {"params": of_norm, "batch_stats": {"mean": mean, "var": var}}',
            '        x = layer.apply({"params": parameters}, x)',
            "        x, updated = norm.apply(",
            '            held, x, use_running_average=use_running_average, mutable=["batch_stats"]',
            "        )",
            '        moved.append(updated["batch_stats"])',
            "        x = nn.gelu(x, approximate=False)",
            '    y = dense[-1].apply({"params": of_dense[-1]}, x)',
            "    if use_running_average:",
            "        return y, {}",
            '    mean, var = (jnp.concatenate([one[leaf] for one in moved]) for leaf in ("mean", "var"))',
            '    return y, {"running_mean": mean, "running_var": var}',
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


class LinenTwoPassNetwork(LinenNetwork):
    """The same with the accurate variance."""

    fast = "False"
