"""Keras on PyTorch: ``keras.layers.BatchNormalization``, eager."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.keras import KerasAdapter, KerasLayer, import_keras
from conformance.adapters.shared.keras_network import Stack
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.torch import Forward, Layer, Tensors
from conformance.adapters.shared.torch_deployed import lacks_exporter
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

keras = import_keras("torch")


class Adapter(KerasAdapter):
    """One layer object per layer; gradients by ``torch.autograd.grad``, so that nothing accumulates."""

    def describe(self) -> Implementation:
        """Name Keras and PyTorch with their versions."""
        return Implementation(
            name="keras-torch", versions={"keras": keras.__version__, "torch": torch.__version__},
            documentation="https://keras.io/api/layers/normalization_layers/batch_normalization/",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(keras.layers.BatchNormalization, "keras.layers.BatchNormalization")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance; an update is assigned without its history.

        Freezing is ``trainable = False``.
        """
        return Dialect(
            running_variance="population", statistics_gradient="leaf", update_gradient="detached",
            recomputation="again", frozen="C", state_dtype="parameters",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the layer has no argument for, and exporting where there is no exporter."""
        return super().unsupported(case) or lacks_exporter(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the layer, and overwrite its variables."""
        return _Layer(layer, state)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> _Network:
        """Build the layers of the stack, and assign their variables."""
        return _Network(layer, network, arrays)


class _Layer(Layer, KerasLayer):
    def __init__(self, config: LayerConfig, state: State) -> None:
        super().__init__(config)
        self.last = config.channel_axis != "second"
        self.build(keras)
        self.set_state(state)

    @property
    def parameters(self) -> Tensors:
        """Return gamma and beta."""
        return self._tensors("gamma", "beta")

    @property
    def buffers(self) -> Tensors:
        """Return the moving statistics."""
        return self._tensors("running_mean", "running_var")

    def _tensors(self, *names: str) -> Tensors:
        held = self.held()
        return {name: held[name].value for name in names if name in held}

    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> Any:
        """Call the layer; on other statistics than its own in a ``keras.StatelessScope``."""
        if buffers is None:
            return self.layer(x, training=mode == "train")
        held = self.held()
        with keras.StatelessScope(state_mapping=[(held[name], value) for name, value in buffers.items()]):
            return self.layer(x, training=mode == "train")

    def forward_masked(self, x: Array, mode: str, mask: Array) -> Forward:
        """Call the layer with a mask, which has its batch and spatial dimensions."""
        leaf, before = self.leaf(x), {name: buffer.clone() for name, buffer in self.buffers.items()}
        output = self.layer(leaf, training=mode == "train", mask=torch.from_numpy(mask))
        return Forward(self, mode, leaf, output, before)

    def export(self, x: Array, mode: str) -> Array:
        """Export a model of this one layer to ONNX, and run that on ONNX Runtime."""
        from conformance.adapters.shared.onnxruntime import run  # noqa: PLC0415  (optional)

        if mode == "train":
            raise NotImplementedError("Model.export knows no mode")
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that PyTorch's exporter by TorchScript, which Keras takes, is deprecated
            file = Path(folder) / "layer.onnx"
            model = self.model(dtype=self.config.dtype)
            model(self.tensor(x), training=False)  # Keras exports what has been called
            model.export(str(file), format="onnx", verbose=False)
            (y,) = run(file.read_bytes(), np.moveaxis(x, 1, -1) if self.last else x)
        return np.moveaxis(y, -1, 1) if self.last else y

    def forget_compiled(self) -> None:
        """Do nothing: nothing is compiled."""

    def fresh(self) -> _Layer:
        """Return a new layer of the same configuration."""
        return _Layer(self.config, {})


class _Network(Layer):
    def __init__(self, config: LayerConfig, network: Network, arrays: State) -> None:
        super().__init__(config)
        self.stack = Stack(keras, config, network, arrays)

    @property
    def parameters(self) -> Tensors:
        """Return nothing: the gradients that are asked for are those of the input."""
        return {}

    @property
    def buffers(self) -> Tensors:
        """Return the moving statistics of all batch norms."""
        return {name: variable.value for name, variable in self._moving().items()}

    def _moving(self) -> dict[str, Any]:
        named = {name: self.stack.held(name) for name in ("running_mean", "running_var")}
        return {f"{name}_{k}": variable for name, held in named.items() for k, variable in enumerate(held)}

    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> Any:
        """Call the stack; on other statistics than its own in a ``keras.StatelessScope``."""
        if buffers is None:
            return self.stack(x, training=mode == "train")
        held = self._moving()
        with keras.StatelessScope(state_mapping=[(held[name], value) for name, value in buffers.items()]):
            return self.stack(x, training=mode == "train")

    def get_state(self) -> State:
        """Return the statistics of all batch norms."""
        return self.stack.get_state()

    def set_state(self, state: State) -> None:
        """Assign the statistics of all batch norms."""
        self.stack.set_state(state)
