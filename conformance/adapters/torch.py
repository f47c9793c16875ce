"""PyTorch: ``torch.nn.BatchNorm1d``, ``2d`` and ``3d``, eager."""

from __future__ import annotations

import torch

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.torch import unsupported
from conformance.adapters.shared.torch_deployed import DeployedLayer, cannot_deploy
from conformance.adapters.shared.torch_network import NetworkLayer
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]


class Adapter(BaseAdapter):
    """One module per layer; gradients by ``torch.autograd.grad``, so that nothing accumulates."""

    def describe(self) -> Implementation:
        """Name PyTorch and its version."""
        return Implementation(
            name="torch", versions={"torch": torch.__version__},
            documentation="https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(torch.nn.BatchNorm2d, "torch.nn.BatchNorm2d")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the sample variance; autograd refuses the statistics and sees no update.

        Freezing is ``requires_grad_(False)``, which statistics and state take no notice of. Exported in train, a module
        becomes a node of inference.
        """
        return Dialect(
            statistics_gradient="refused", update_gradient="detached", recomputation="again", frozen="A",
            untracked="batch", state_dtype="parameters", exported="running",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse the last axis, masks and synchronisation, and what cannot be folded or exported."""
        return unsupported(case) or cannot_deploy(case)

    def create(self, layer: LayerConfig, state: State) -> DeployedLayer:
        """Build the module of the layer's rank, and overwrite its parameters and buffers."""
        return DeployedLayer(layer, state)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> NetworkLayer:
        """Build the modules of the stack, and overwrite their parameters and buffers."""
        return NetworkLayer(layer, network, arrays)
