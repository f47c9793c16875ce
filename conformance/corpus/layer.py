"""What is asked: one batch norm layer, or a network of several."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

import msgspec

__all__ = ["Dtype", "Layer", "Network"]

Dtype: TypeAlias = Literal["float64", "float32", "bfloat16", "float16"]


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter builds: one batch norm layer over ``channels`` channels.

    ``momentum`` weighs the new batch; ``None`` asks for the cumulative average. ``channel_axis``
    is where the implementation is to find the channels: ``second``, ``last``, or ``native``,
    whatever suits it. A layer that is not ``tracked`` keeps no running statistics. Arrays reach the
    adapter in the canonical layout ``(N, C, *spatial)`` always.
    """

    channels: int
    rank: int
    momentum: float | None
    epsilon: float
    gamma: bool
    beta: bool
    tracked: bool
    dtype: Dtype
    param_dtype: Dtype
    channel_axis: Literal["native", "second", "last"]


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stack of ``blocks`` times dense, batch norm and GELU, then a dense layer of ``outputs`` units.

    Each dense layer of a block has ``width`` units; GELU is the exact one, ``z / 2 * (1 + erf(z / sqrt 2))``
    (Hendrycks & Gimpel 2016, arXiv:1606.08415). Input and output are of shape ``(N, features)``.
    """

    blocks: Annotated[int, msgspec.Meta(ge=1, le=64)]
    width: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    outputs: Annotated[int, msgspec.Meta(ge=1, le=4096)]

    @property
    def channels(self) -> int:
        """Return how many channels the batch norms have together, whose arrays are joined in their order."""
        return self.blocks * self.width

    def dense(self, features: int) -> tuple[tuple[int, int], ...]:
        """Return the shape ``(units, features)`` of the kernel of each dense layer."""
        widths = (features, *(self.width,) * self.blocks, self.outputs)
        return tuple((after, before) for before, after in pairwise(widths))
