"""Old multi-backend Keras, 2.1.2 to 2.3.1: ``keras.layers.BatchNormalization`` in a graph of ``tf.compat.v1``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from packaging.version import Version

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.keras_2 import import_keras_2
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

keras, tf, _TENSORFLOW = import_keras_2()
_VERSION = Version(keras.__version__)
_NAMES = {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_STATE = ("running_mean", "running_var")


class Adapter(BaseAdapter):
    """A model of one layer; a call is a run of its graph, in training with the model's updates."""

    def describe(self) -> Implementation:
        """Name Keras and TensorFlow with their versions."""
        return Implementation(
            name="keras-2", versions={"keras": keras.__version__, "tensorflow": _TENSORFLOW}, execution="graph",
            documentation="https://github.com/keras-team/keras/blob/2.2.4/docs/templates/getting-started/faq.md",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(keras.layers.BatchNormalization, "keras.layers.BatchNormalization")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare what the versions changed: the estimator, the debiased average, what freezing does.

        2.1.2 blends in the population variance and has no way to stop a layer's updates. 2.1.3 to 2.2.4 debias
        the averages, and a layer that is not trainable yields no update; from 2.1.4 on the variance is multiplied
        by ``n / (n - 1 - epsilon)``, that of the fused kernel too, which is the sample variance already. 2.3.1
        blends again.
        """
        fused = _fused(layer)
        plain = Version("2.1.4") > _VERSION
        return Dialect(
            running_variance=("sample" if fused else "population") if plain
            else ("sample-over-n-1-epsilon" if fused else "over-n-1-epsilon"),
            first_update="debias" if Version("2.1.3") <= _VERSION < Version("2.3") else "blend",
            constants="float32 momentum", statistics_gradient="leaf", update_gradient="detached",
            frozen="A" if Version("2.1.3") > _VERSION else "B",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what old Keras has no means for."""
        steps, dtype = case.steps, case.layer.dtype
        lacking = {
            "BatchNormalization has no cumulative average: momentum is a number": case.momentum == "cumulative",
            "BatchNormalization always keeps moving statistics":
                not case.tracked and any(step.evaluate is not None for step in steps),
            "old Keras has one dtype for everything": dtype != case.layer.param_dtype and not _mixes(case),
            "old Keras knows float16, float32 and float64": dtype == "bfloat16" and not _mixes(case),
            "Keras 2.3 multiplies a variance of another dtype by a factor in float32, which TensorFlow refuses":
                dtype != "float32" and not _mixes(case) and Version("2.3") <= _VERSION,
            "Keras 2.1.4 to 2.2.4 multiplies a variance in float32 by a factor of 16 bits, which TensorFlow refuses":
                dtype != case.layer.param_dtype and Version("2.1.4") <= _VERSION < Version("2.3"),
            "the fused kernel knows no float64": dtype == "float64" and _fused(case.layer),
            "the fused kernel takes statistics in float32, and Keras makes them of one dtype with the input":
                case.layer.param_dtype == "float16" and _fused(case.layer),
            "old Keras has no masks, recomputation or replicas for this layer":
                any(step.masked or step.recompute or step.replicas is not None for step in steps),
            "the updates of a graph are run beside it: no call reads what another has assigned in one run":
                any(step.through_update is not None for step in steps),
            "Keras 2.1.3 to 2.2.4 divides the averages by 1 - momentum^k, which is 0 for its momentum of 1":
                case.momentum == 0 and Version("2.1.3") <= _VERSION < Version("2.3") and _uses_state(case),
            "Keras 2.1.3 to 2.2.4 saves neither the sums nor the counts that its averages are made of":
                Version("2.1.3") <= _VERSION < Version("2.3") and _trains_after_loading(case),
            "graphs have no forward mode": any(step.jvp for step in steps),
        }  # fmt: skip
        return next((why for why, lacks in lacking.items() if lacks), None)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build a new graph with the layer alone, and assign its variables."""
        keras.backend.clear_session()
        return _Layer(layer, state)


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.config, self.last = config, config.channel_axis != "second"
        keras.backend.set_floatx(config.param_dtype)
        self.layer = keras.layers.BatchNormalization(
            axis=-1 if self.last else 1, momentum=None if config.momentum is None else 1 - config.momentum,
            epsilon=config.epsilon, scale=config.gamma, center=config.beta,
        )  # fmt: skip
        free = (None,) * (config.rank - 2)
        shape = (*free, config.channels) if self.last else (config.channels, *free)
        self.x = keras.layers.Input(shape, dtype=config.dtype)
        self.model = keras.models.Model(self.x, self.layer(self.x))
        # Evaluated by the static call: beside the dynamic one, a graph computes the training branch too, and a NaN
        # there meets the zeros of its gradient.
        self.y = {"train": self.model.output, "evaluate": self.layer.call(self.x, training=False)}
        self.dy = tf.placeholder(self.model.output.dtype)
        self.set_state(state)

    @property
    def variables(self) -> dict[str, Any]:
        """Return gamma, beta and the moving statistics, those that the layer has."""
        found = {name: getattr(self.layer, attribute) for name, attribute in _NAMES.items()}
        return {name: variable for name, variable in found.items() if variable is not None}

    @property
    def averages(self) -> dict[str, Any]:
        """Return the sums and counts that Keras 2.1.3 to 2.2.4 debias: variables of the graph, not of the model."""
        own = {self.variables[name].op.name: name for name in _STATE}
        every = {tuple(one.op.name.rpartition("/")[::2]): one for one in tf.global_variables()}
        return {
            f"{own[statistic]}_{part}": one for (statistic, part), one in every.items()
            if statistic in own and part in ("biased", "local_step")
        }  # fmt: skip

    def forward(self, x: Array, mode: str) -> _Forward:
        """Run the graph, in training with the updates that the model has, and keep the state from before."""
        before = dict(self.get_state())
        updates = self.model.updates if mode == "train" else []
        y, *_ = self.run([self.y[mode], *updates], x, mode)
        return _Forward(self, np.array(x), mode, before, self.array(y))

    def run(self, fetches: Sequence[Any], x: Array, mode: str, extra: Mapping[Any, Array] | None = None) -> list[Any]:
        """Run the graph once on an input."""
        feed = {self.x: self.tensor(x), keras.backend.learning_phase(): mode == "train", **(extra or {})}
        found: list[Any] = keras.backend.get_session().run(list(fetches), feed)
        return found

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Differentiate the gradients, multiplied by the directions."""
        known = {"x": self.x, "dy": self.dy, **self.variables}
        sources = [known[name] for name in directions]
        vectors = [self.tensor(one) if one.ndim > 1 else one for one in directions.values()]
        first = tf.gradients(tf.reduce_sum(self.y[mode] * self.dy), sources)
        held = [tf.constant(vector) for vector in vectors]
        products = tf.gradients(first, sources, grad_ys=held, unconnected_gradients="zero")
        found = self.run(products, x, mode, {self.dy: self.tensor(dy)})
        pairs = zip(directions, found, strict=True)
        return {name: one if name == "gamma" else self.array(one) for name, one in pairs}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Differentiate three times, multiplied by the direction from the second on."""
        held = tf.constant(self.tensor(direction))
        (first,) = tf.gradients(tf.reduce_sum(self.y[mode] * self.dy), self.x)
        (second,) = tf.gradients(first, self.x, grad_ys=held, unconnected_gradients="zero")
        (third,) = tf.gradients(second, self.x, grad_ys=held, unconnected_gradients="zero")
        return self.array(self.run([third], x, mode, {self.dy: self.tensor(dy)})[0])

    def get_state(self) -> State:
        """Return the moving statistics, and what they are made from."""
        held = {name: self.variables[name] for name in _STATE} | self.averages
        return dict(zip(held, keras.backend.batch_get_value(list(held.values())), strict=True))

    def set_state(self, state: State) -> None:
        """Assign the variables that the state names."""
        held = self.variables | self.averages
        pairs = [(variable, state[name]) for name, variable in held.items() if name in state]
        keras.backend.batch_set_value(pairs)

    def freeze(self) -> None:
        """Make the layer untrainable; the next run takes the updates that the model then has."""
        self.layer.trainable = False

    def thaw(self) -> None:
        """Make the layer trainable again."""
        self.layer.trainable = True

    def reload(self) -> _Layer:
        """Get the weights of the model and set them in a new one."""
        fresh = _Layer(self.config, {})
        fresh.model.set_weights(self.model.get_weights())
        return fresh

    def tensor(self, x: Array) -> Array:
        """Return the array in the layout of the layer."""
        return np.moveaxis(x, 1, -1) if self.last else x

    def array(self, values: Array) -> Array:
        """Return what came out in canonical layout."""
        return np.moveaxis(values, -1, 1) if self.last else values


class _Forward:
    def __init__(self, layer: _Layer, x: Array, mode: str, before: Mapping[str, Array], y: Array) -> None:
        self.layer, self.x, self.mode, self.before, self.y = layer, x, mode, before, y

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Run the gradients at the state that the forward had: a graph computes both in one run."""
        layer = self.layer
        known = {"x": layer.x, **layer.variables}
        sources = [known[name] for name in wrt]
        gradients = tf.gradients(layer.y[self.mode], sources, grad_ys=layer.dy, unconnected_gradients="zero")
        now = dict(layer.get_state())
        layer.set_state(self.before)
        try:
            found = layer.run(gradients, self.x, self.mode, {layer.dy: layer.tensor(dy)})
        finally:
            layer.set_state(now)
        pairs = zip(wrt, found, strict=True)
        return {name: layer.array(one) if name == "x" else one for name, one in pairs}


def _fused(layer: LayerConfig) -> bool:
    """Tell whether the version at hand takes the fused kernel in training: not on the second axis of a processor."""
    return Version("2.1.3") <= _VERSION and layer.rank == 4 and layer.channel_axis != "second"


def _mixes(case: Case) -> bool:
    """Tell whether a 16-bit input goes with float32 parameters.

    It does in the fused kernel's training without gradients, and since 2.3 in evaluating.
    """
    steps = [step for step in case.steps if step.evaluate is None or Version("2.3") > _VERSION]
    trains = all(step.train is not None and not step.gradients for step in steps)
    differentiates = any(step.differentiates for step in case.steps)
    return trains and not differentiates and _fused(case.layer) and case.layer.param_dtype == "float32"


def _uses_state(case: Case) -> bool:
    """Tell whether a case evaluates, or reads the running statistics."""
    return any(step.mode == "evaluate" or not {*_STATE}.isdisjoint(step.observe) for step in case.steps)


def _trains_after_loading(case: Case) -> bool:
    """Tell whether a layer that was trained is loaded and trained again (keras-team/keras#9003)."""
    loaded = [number for number, step in enumerate(case.steps) if step.reload]
    trained = [number for number, step in enumerate(case.steps) if step.train is not None]
    return bool(loaded) and min(trained, default=loaded[0]) < loaded[0] < max(trained, default=0)
