"""Scripts of Keras on TensorFlow: today's, and Keras 2."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.keras import KerasLayer
from conformance.adapters.scripts.tensorflow import ZERO, TensorFlowWriter
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines

__all__ = ["Keras", "Keras2Fused", "Keras2Unfused", "Keras2V1"]


class Keras(KerasLayer, TensorFlowWriter):
    """``keras.layers.BatchNormalization`` on TensorFlow."""

    backend = "tensorflow"
    names = {name: f"layer.{attribute}.value" for name, attribute in KerasLayer.attributes.items()}  # noqa: RUF012

    @property
    def imports(self) -> Lines:
        """Choose the backend, import both."""
        return [*self.keras_imports, "import tensorflow as tf", *self.splitting]

    @property
    def splitting(self) -> Lines:
        """Return the lines that make two devices of the processor, where there are replicas."""
        if not any(step.replicas is not None for step in self.case.steps):
            return []
        return [
            "tf.config.set_logical_device_configuration(",
            '    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2',
            ")",
        ]

    def build(self) -> Lines:
        """Make the layer; trace its calls where they are traced."""
        return [*self.made(), *self.traced()]

    def call_of(self, mode: str, x: str, mask: str = "") -> str:
        """Call the layer, with a mask if there is one."""
        return f"layer({x}, training={mode == 'train'}{f', mask={mask}' if mask else ''})"

    def recomputed(self) -> str:
        """Return Keras' own."""
        return "keras.remat"

    def reload(self) -> Lines:
        """Save the weights and load them into a new layer."""
        return [*self.reloaded(), *self.traced()]

    def export(self, call: Call) -> Lines:
        """Export a model of this one layer as a SavedModel, and call what is loaded from that."""
        if call.mode == "train":
            raise CannotWrite("Model.export knows no mode")
        n = call.number
        return [
            "with tempfile.TemporaryDirectory() as folder:",
            f"    model = {self.model()}",
            '    model.export(folder, format="tf_saved_model", verbose=False)',
            "    loaded = tf.saved_model.load(folder)",
            f"    y_{n} = {self.array(f'loaded.serve({self.tensor(call.x)})')}",
        ]

    def replicate(self, call: Call) -> Lines:
        """Call a layer that synchronises its statistics, its variables mirrored on two logical devices."""
        n, has = call.number, self.layer
        names = {"gamma": has.gamma, "beta": has.beta, "running_mean": True, "running_var": True}
        kept = [self.attributes[name] for name, given in names.items() if given]
        run = "strategy.run(function, parts)"
        traced = f"tf.function(lambda: {run}, autograph=False)()"
        return [
            "# One for the process: its collective operations wait for those of any other.",
            'strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])',
            "with strategy.scope():",
            *(f"    {line}" for line in self.synchronised()),
            *(f"    mirrored.{name}.assign(layer.{name})" for name in kept),
            "mirrored.trainable = layer.trainable",
            "",
            "",
            "def in_replicas(function, *given):",
            '    """Call it on each pair of arrays, one for each replica; return what each replica gives."""',
            "    spread = strategy.experimental_distribute_values_from_function",
            "    parts = [spread(lambda context, pair=pair: pair[context.replica_id_in_sync_group]) for pair in given]",
            f"    return {run if self.execution == 'eager' else traced}",
            "",
            "",
            "def joined(values):",
            "    return tf.concat([tf.identity(one) for one in strategy.experimental_local_results(values)], 0)",
            "",
            "",
            f"x_{n} = [{', '.join(map(self.tensor, call.replicas))}]",
            f"out_{n} = joined(in_replicas(lambda x: mirrored(x, training=True), x_{n}))",
            f"y_{n} = {self.array(f'out_{n}')}",
            *(f"layer.{name}.assign(mirrored.{name})" for name in ("moving_mean", "moving_variance")),
        ]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Ask the tape; gradients through sums over replicas are taken where the replicas run, by another call."""
        if not call.replicas:
            return super().backward(number, call, wrt, dy)
        sources = ["x" if name == "x" else self.names[name].replace("layer", "mirrored") for name in wrt]
        taken = {
            name: f"joined(grads[{k}])" if name == "x"
            else f"tf.add_n(strategy.experimental_local_results(grads[{k}]))"
            for k, name in enumerate(wrt)
        }  # fmt: skip
        split = f"np.split({dy}, [len({call.replicas[0]})])"
        return [
            f"first, second = {split}",
            f"upstream = [{', '.join(map(self.tensor, ('first', 'second')))}]",
            "",
            "",
            "def gradients(x, dy):",
            "    with tf.GradientTape() as tape:",
            "        tape.watch(x)",
            "        y = mirrored(x, training=True)",
            "    return tape.gradient(",
            f"        y, [{', '.join(sources)}], output_gradients=dy, unconnected_gradients={ZERO}",
            "    )",
            "",
            "",
            f"grads = in_replicas(gradients, x_{number}, upstream)",
            *(
                f"d{name}_{number} = " + (self.array if name == "x" else self.plain)(one)
                for name, one in taken.items()
            ),
        ]

    def synchronised(self) -> Lines:
        """Return the lines that make ``mirrored``, a layer like this one that synchronises its statistics."""
        made, build = (line.replace("layer", "mirrored", 1) for line in self.made_new())
        return [f"{made[:-1]}, synchronized=True)".replace("mirrored = mirrored", "mirrored = layer"), build]

    def freeze(self, *, wanted: bool) -> Lines:
        """Make the layer untrainable, or trainable again; what was traced is traced anew."""
        return [f"layer.trainable = {not wanted}", *self.traced()]


class _Keras2(Keras):
    """``tf_keras.layers.BatchNormalization``."""

    library, fused = "tf_keras", "False"
    names = {name: f"layer.{attribute}" for name, attribute in KerasLayer.attributes.items()}  # noqa: RUF012

    @property
    def imports(self) -> Lines:
        """Import Keras 2."""
        filed = any(step.reload or step.exported for step in self.case.steps)
        beside = ["import tempfile"] if filed else []
        return [*beside, "import tensorflow as tf", "import tf_keras", *self.splitting]

    def options(self) -> dict[str, str | None]:
        """Say whether the kernel is fused."""
        return {"fused": self.fused}

    def recomputed(self) -> str:
        """Return TensorFlow's."""
        return "tf.recompute_grad"

    def export(self, call: Call) -> Lines:
        """Export as Keras 3 does: what it exports to needs not be said."""
        return [line.replace(', format="tf_saved_model", verbose=False', "") for line in super().export(call)]


class Keras2Fused(_Keras2):
    """``fused=True``."""

    fused = "True"


class Keras2Unfused(_Keras2):
    """``fused=False``."""


class Keras2V1(_Keras2):
    """The layer of TensorFlow 1."""

    fused = "None"

    @property
    def imports(self) -> Lines:
        """Import the layer from where it is kept."""
        return [*super().imports, "from tf_keras.api._v1.keras.layers import BatchNormalization"]

    def constructor(self) -> str:
        """Return the class."""
        return "BatchNormalization"
