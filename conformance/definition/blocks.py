"""A large case is predicted a few channels at a time: channels are independent, and a few fit into a cache.

What is predicted is the same bit for bit: every sum of the definition runs within a channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from conformance.corpus.case import Case, Step
from conformance.corpus.shape import values_per_channel
from conformance.definition.batch_norm import Array
from conformance.definition.prediction import Expected, Predicted, Prediction
from conformance.definition.rules import Rules

__all__ = ["blocks", "cut", "joined", "may_be_cut"]

#: How many values of an input a block has at most, unless one channel has more: a megabyte of float64, about what
#: the cache next to a core holds. Measured on an input of 16x64x56x56, larger and smaller ones are slower.
_VALUES = 2**17


def blocks(shape: Sequence[int]) -> list[slice]:
    """Return which channels of an array of ``shape``, ``(N, C, *spatial)``, are taken together."""
    channels = max(1, _VALUES // max(1, values_per_channel(tuple(shape))))
    return [slice(first, min(first + channels, shape[1])) for first in range(0, shape[1], channels)]


def may_be_cut(case: Case, arrays: Mapping[str, Array], rules: Rules) -> bool:
    """Tell whether nothing that is asked of the case mixes channels.

    Outputs compared as a whole do, and so do a linear layer before and statistics over the wrong axes; the bounds of
    higher derivatives are measured with noise that is drawn for the whole. An input that is not finite changes what
    is expected wherever a value is not finite.
    """
    if case.network is not None or rules.axes != "channel" or any(map(_takes_channels_together, case.steps)):
        return False
    return all(np.isfinite(array).all() for name, array in arrays.items() if name.startswith("x:"))


def _takes_channels_together(step: Step) -> bool:
    compared = step.same_as or step.against or step.target or step.converge
    return bool(compared or step.differentiates or step.deployed)


def cut(case: Case, arrays: Mapping[str, Array], channels: slice) -> tuple[Case, dict[str, Array]]:
    """Return the case of these channels alone, with its arrays."""
    rows, count, *spatial = map(int, case.shape.split("x"))
    shape = "x".join(map(str, (rows, len(range(count)[channels]), *spatial)))
    return msgspec.structs.replace(case, shape=shape), {
        name: array if name.startswith("mask:") else array[channels] if array.ndim == 1 else array[:, channels]
        for name, array in arrays.items()
    }


def joined(parts: Sequence[Prediction]) -> Prediction:
    """Return what is predicted of a whole case, from what is of its blocks in their order."""
    return {key: _joined([part[key] for part in parts]) for key in parts[0]}


def _joined(parts: Sequence[Predicted]) -> Predicted:
    first, arrays = parts[0], [part for part in parts if isinstance(part, Expected)]
    if not isinstance(first, Expected):
        return first
    axis = min(1, first.value.ndim - 1)
    whole: dict[str, Any] = {
        field: np.concatenate([getattr(part, field) for part in arrays], axis=axis)
        for field in ("value", "tight", "plain", "undefined")
        if getattr(first, field) is not None
    }
    return replace(first, **whole)
