"""The oracle's formulas in the case's own precision, behind the adapter contract: the canary.

If it does not agree with the oracle, the suite is at fault and no report is written.
"""

from __future__ import annotations

import numpy as np

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Implementation, LayerConfig
from conformance.adapters.contract import State as ContractState
from conformance.adapters.shared.numpy import NetworkLayer
from conformance.adapters.shared.numpy_layer import Layer
from conformance.corpus.case import Network
from conformance.definition.dialect import Dialect
from conformance.definition.rules import Rules

__all__ = ["Adapter"]

_DIALECT = Dialect(
    statistics_gradient="leaf", update_gradient="differentiable", recomputation="once", frozen="C", untracked="batch",
    state_dtype="parameters", exported="running",
)  # fmt: skip


class Adapter(BaseAdapter):
    """The formulas under given rules; with other than the default ones, a mutant of the oracle."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = Rules(dialect=_DIALECT) if rules is None else rules

    def describe(self) -> Implementation:
        """Name NumPy and its version."""
        return Implementation(name="numpy", versions={"numpy": np.__version__}, documentation="docs/bounds.md")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare what the paper says, and one option of each choice that it leaves."""
        return _DIALECT

    def create(self, layer: LayerConfig, state: ContractState) -> Layer:
        """Build a layer that computes in its dtype, 16-bit input in float32."""
        return Layer(layer, state, self.rules)

    def create_network(self, layer: LayerConfig, network: Network, arrays: ContractState) -> NetworkLayer:
        """Build a stack that computes in its dtype."""
        return NetworkLayer(layer, network, arrays, self.rules)
