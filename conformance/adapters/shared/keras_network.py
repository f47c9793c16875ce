"""A stack of Keras' ``Dense``, ``BatchNormalization`` and GELU, on any backend.

GELU is composed: on TensorFlow ``keras.activations.gelu`` multiplies by ``1 / sqrt 2`` rounded to float32 whatever
the dtype, which float64 shows, and which is no matter of batch norms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.adapters.contract import LayerConfig, State
from conformance.adapters.shared.keras import policy
from conformance.corpus.case import Network

__all__ = ["Stack"]

_NAMES = {"running_mean": "moving_mean", "running_var": "moving_variance"}


class Stack:
    """The layers, built and filled; ``library`` is the Keras that makes them.

    ``kind`` is the class of its batch norms, made with ``options`` beside; ``erf`` what its GELU is composed of.
    """

    def __init__(
        self, library: Any, config: LayerConfig, network: Network, arrays: State,
        *, kind: Any = None, erf: Callable[[Any], Any] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self.erf, self.dtype = erf or library.ops.erf, config.dtype
        dtype, kernels = policy(config) or config.dtype, [arrays[f"kernel_{k}"] for k in range(1, network.blocks + 2)]
        self.dense = [library.layers.Dense(len(kernel), dtype=dtype) for kernel in kernels]
        for k, (dense, kernel) in enumerate(zip(self.dense, kernels, strict=True), start=1):
            dense.build((None, kernel.shape[1]))
            dense.set_weights([kernel.T, arrays[f"bias_{k}"]])
        weight: Any = None if config.momentum is None else 1 - config.momentum
        self.norms = [
            (kind or library.layers.BatchNormalization)(momentum=weight, epsilon=config.epsilon, dtype=dtype, **options)
            for _ in range(network.blocks)
        ]
        for norm in self.norms:
            norm.build((None, network.width))
        for name in ("gamma", "beta"):
            self.assign(name, arrays[name])
        for name, attribute in _NAMES.items():
            if name in arrays:
                self.assign(attribute, arrays[name])

    def __call__(self, x: Any, *, training: bool) -> Any:
        """Call the layers in turn."""
        for dense, norm in zip(self.dense, self.norms, strict=False):
            z = norm(dense(x), training=training)
            root = np.sqrt(np.asarray(2, self.dtype))
            x = z * 0.5 * (self.erf(z / root) + 1.0)
        return self.dense[-1](x)

    def held(self, name: str) -> list[Any]:
        """Return the Keras variables of one running statistic, in the order of the batch norms."""
        return [getattr(norm, _NAMES[name]) for norm in self.norms]

    def assign(self, attribute: str, joined: Any) -> None:
        """Assign one variable of every batch norm."""
        for norm, part in zip(self.norms, np.split(np.asarray(joined), len(self.norms)), strict=True):
            getattr(norm, attribute).assign(part)

    def get_state(self) -> State:
        """Return the running statistics, joined."""
        return {name: np.concatenate([np.asarray(one) for one in self.held(name)]) for name in _NAMES}

    def set_state(self, state: State) -> None:
        """Assign the running statistics of every batch norm."""
        for name, attribute in _NAMES.items():
            if name in state:
                self.assign(attribute, state[name])
