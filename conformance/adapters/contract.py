"""The contract of an adapter: what a third party writes to put an implementation to the suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray

from conformance.corpus.case import Case
from conformance.corpus.case import Layer as LayerConfig
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Array", "Defaults", "Forward", "Implementation", "Layer", "LayerConfig", "State"]

Array: TypeAlias = NDArray[Any]

#: ``running_mean`` and ``running_var``, shape ``(C,)``; to ``create`` also ``gamma`` and ``beta``,
#: where the layer has them. A key that is absent asks for the implementation's own initial value.
State: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """One batch norm under test, as its column in the report is labelled."""

    name: str
    versions: Mapping[str, str]
    execution: str = "eager"
    device: str = "cpu"
    documentation: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    title: str = ""

    @property
    def id(self) -> str:
        """Return ``name@version:execution:device``, with the first of ``versions``."""
        version = next(iter(self.versions.values()), "unknown")
        return f"{self.name}@{version}:{self.execution}:{self.device}"


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What an implementation takes where its user says nothing.

    ``arguments`` are texts by the implementation's own names; ``read_from`` says in words where they stand.
    """

    read_from: str
    arguments: Mapping[str, str]


@runtime_checkable
class Forward(Protocol):
    """One forward call, kept so that its backward can come after other calls."""

    @property
    def y(self) -> Array:
        """Return the output, shape ``(N, C, *spatial)``, in the dtype that the layer gives."""

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        """Return the gradients of ``sum(y * dy)`` by name.

        ``wrt`` holds names out of ``x``, ``gamma``, ``beta``, ``running_mean``, ``running_var``;
        each gradient has the shape of what it is the gradient of. Can be called more than once.
        """


@runtime_checkable
class Layer(Protocol):
    """One layer with its state."""

    def forward(self, x: Array, mode: str) -> Forward:
        """Call the layer on ``x``, shape ``(N, C, *spatial)``, in mode ``train`` or ``evaluate``."""

    def get_state(self) -> State:
        """Return at least ``running_mean`` and ``running_var``, shape ``(C,)``.

        What else the layer keeps, a count of its updates say, may come with them under names of its own:
        ``set_state`` is given it back where a state is restored, and its average where several are averaged.
        """

    def set_state(self, state: State) -> None:
        """Overwrite what ``state`` names."""


class Adapter:
    """Base of every adapter; ``describe`` and ``create`` are all that one must write.

    An optional ability is one more method of the layer:

    - ``through_update(earlier, later, dy)`` trains on ``earlier``, evaluates on ``later`` and returns
      the gradient of ``sum(y * dy)`` of the second call with respect to ``earlier``;
    - ``freeze()`` and ``thaw()`` by the gesture that the implementation's users know;
    - ``forward_recomputed(x)`` is ``forward(x, "train")`` whose backward does the forward again, as
      checkpointing does;
    - ``forward_masked(x, mode, mask)`` takes the statistics from the positions where ``mask``, bool of
      shape ``(N, *spatial)``, is true;
    - ``forward_replicas(xs)`` trains on each of ``xs`` in a replica of its own, with synchronised
      statistics; its output and gradients are joined along the rows;
    - ``forward_automatic(x, differentiated)`` leaves the mode to the implementation, as its users do who choose
      none; ``differentiated`` says whether the call is made where a gradient is taken;
    - ``reload()`` saves the layer as the implementation does and returns a new one that loaded it;
    - ``fold(x, kernel, bias)`` folds the layer, in evaluate, into the linear layer before it by what the implementation
      has for that, and returns the output of the folded linear layer on ``x``: a dense layer with a ``kernel`` of shape
      ``(C, F)``, or a convolution of stride 1 with zeros around its input, ``(C, F, 3, ...)``, in ``x.shape[1] / F``
      groups; ``bias`` has the shape ``(C,)``, or is ``None``;
    - ``export(x, mode)`` exports the layer, put in that mode, by what the implementation has for that, and returns the
      output of the exported model, run on ``x`` by what such models are made for;
    - ``hvp(x, mode, dy, directions)``, with ``L = sum(y * dy)``: the Hessian of ``L`` in the variables
      that ``directions`` names (``x``, ``gamma``, ``dy``) times these directions, by variable, each of
      the shape of its variable;
    - ``third(x, mode, dy, direction)``: the third derivative of ``L`` in ``x``, twice along
      ``direction``, of the shape of ``x``;
    - ``jvp(x, mode, direction, order)``: the derivative of ``y`` of that order, 1 or 2, along
      ``direction`` in ``x``, by forward mode.

    What the last three leave of the state is not looked at.

    Two optional abilities belong to the adapter: ``defaults()`` returns the ``Defaults``, read from the implementation
    itself (``adapters.shared.signature`` does), and ``create_network(layer, network, arrays)`` builds the stack
    that ``corpus.case.Network`` describes, its batch norms each like ``layer``, and returns what does as a
    layer does: ``x`` has the shape ``(N, features)``, ``y`` ``(N, outputs)``, and gamma, beta and the running
    statistics are those of all batch norms, joined in their order. ``arrays`` has ``kernel_K``, shape
    ``(units, features)``, and ``bias_K`` for each dense layer ``K``, from 1, beside what ``create`` is given.
    """

    def describe(self) -> Implementation:
        """Say which implementation this is, with exact versions."""
        raise NotImplementedError(f"{type(self).__name__} lacks describe()")

    def create(self, layer: LayerConfig, state: State) -> Layer:
        """Build a layer that holds ``state``."""
        raise NotImplementedError(f"{type(self).__name__} lacks create()")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the choices that the implementation makes for such a layer."""
        return Dialect()

    def unsupported(self, case: Case) -> str | None:
        """Say why the implementation cannot be asked this case, or return ``None``.

        The case is attempted all the same: one that then agrees is reported as ``changed``.
        """
        return None
