"""Keras' layers on TensorFlow as they are served: a SavedModel, loaded and called."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from conformance.adapters.contract import Array
from conformance.adapters.shared.keras import KerasLayer
from conformance.adapters.shared.tensorflow import Layer

__all__ = ["ServedLayer"]


class ServedLayer(Layer, KerasLayer):
    """A layer that ``Model.export`` exports; ``export_options`` are what it is told beside the folder."""

    export_options: ClassVar[Mapping[str, Any]] = {}

    def export(self, x: Array, mode: str) -> Array:
        """Export a model of this one layer as a SavedModel, and call what is loaded from that."""
        if mode == "train":
            raise NotImplementedError("Model.export knows no mode")
        with tempfile.TemporaryDirectory() as folder:
            self.model(dtype=self.config.dtype).export(folder, **self.export_options)
            loaded = tf.saved_model.load(folder)  # it holds the variables while it is called
            return self.array(loaded.serve(self.tensor(x)))
