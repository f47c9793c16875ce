"""Keras' layers behind the contract, on any backend, Keras 2 included: what to build, freezing, saving."""

from __future__ import annotations

import importlib
import os
import tempfile
from abc import abstractmethod
from typing import Any

from conformance.adapters.contract import Adapter, LayerConfig
from conformance.corpus.case import Case
from conformance.errors import AdapterError

__all__ = ["KerasAdapter", "KerasLayer", "import_keras", "policy"]

_NAMES = {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def import_keras(backend: str) -> Any:
    """Import Keras on this backend: it is chosen by an environment variable, once in a process.

    Raises:
        AdapterError: Keras has been imported already, on another one.
    """
    os.environ["KERAS_BACKEND"] = backend
    keras = importlib.import_module("keras")
    if keras.backend.backend() != backend:
        raise AdapterError(
            f"Keras runs on {keras.backend.backend()} in this process, and cannot change to {backend}",
            hint="run one of its backends at a time --in-process, or leave that option out",
        )
    return keras


class KerasAdapter(Adapter):
    """What every backend of Keras lacks."""

    #: Whether layers are exported by ``Model.export``.
    exports_inference = True

    @property
    def lacks_replicas(self) -> str | None:
        """Say why replicas cannot be synchronised, unless they can."""
        return "synchronized=True is for the TensorFlow backend"

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the layer has no argument for."""
        if case.momentum == "cumulative":
            return "BatchNormalization has no cumulative average: momentum is a number"
        if not case.tracked and any(step.evaluate is not None for step in case.steps):
            return "BatchNormalization always keeps moving statistics"
        if self.lacks_replicas is not None and any(step.replicas is not None for step in case.steps):
            return self.lacks_replicas
        if self.exports_inference and any(step.exported and step.mode == "train" for step in case.steps):
            return "Model.export exports what a model does in inference: there is no mode to export"
        if policy(case.layer) is None:
            return f"no dtype policy computes in {case.layer.dtype} with variables in {case.layer.param_dtype}"
        return None


class KerasLayer:
    """A part of each layer: the Keras object behind it, made by ``library``."""

    config: LayerConfig
    last: bool
    layer: Any

    def build(self, library: Any, kind: Any = None, **options: Any) -> None:
        """Build the Keras object, a ``BatchNormalization`` or another ``kind``."""
        config = self.config
        self.library = library
        self.layer = (kind or library.layers.BatchNormalization)(
            axis=-1 if self.last else 1,
            # Keras' momentum weighs the old state; without one it is left to Keras to refuse.
            momentum=None if config.momentum is None else 1 - config.momentum,
            epsilon=config.epsilon, scale=config.gamma, center=config.beta,
            dtype=policy(config) or config.dtype, **options,
        )  # fmt: skip
        self.layer.build((None, *self._shape()))

    def held(self) -> dict[str, Any]:
        """Return the variables of the Keras object, by their names here."""
        found = {name: getattr(self.layer, attribute, None) for name, attribute in _NAMES.items()}
        return {name: variable for name, variable in found.items() if variable is not None}

    def freeze(self) -> None:
        """Make the layer untrainable, and compile anew, as Keras wants."""
        self.layer.trainable = False
        self.forget_compiled()

    def thaw(self) -> None:
        """Make the layer trainable again, and compile anew."""
        self.layer.trainable = True
        self.forget_compiled()

    def reload(self) -> Any:
        """Save the weights of a model of this one layer to a file and load them into a new one."""
        fresh = self.fresh()
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/layer.weights.h5"
            self.model().save_weights(file)
            fresh.model().load_weights(file)
        return fresh

    @abstractmethod
    def fresh(self) -> Any:
        """Return a new layer of the same configuration."""

    @abstractmethod
    def forget_compiled(self) -> None:
        """Forget what was compiled while the layer was trainable, or was not."""

    def model(self, **options: Any) -> Any:
        """Return a model of this one layer, its input made with the options."""
        return self.library.Sequential([self.library.Input(self._shape(), **options), self.layer])

    def _shape(self) -> tuple[int | None, ...]:
        free = (None,) * (self.config.rank - 2)
        return (*free, self.config.channels) if self.last else (self.config.channels, *free)


def policy(layer: LayerConfig) -> str | None:
    """Return the name of the dtype policy, ``None`` if Keras has none for the pair."""
    if layer.dtype == layer.param_dtype:
        return layer.dtype
    mixed = layer.param_dtype == "float32" and layer.dtype in ("float16", "bfloat16")
    return f"mixed_{layer.dtype}" if mixed else None
