"""What a check is, how it ends, and the small layers and integers that the checks are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from conformance.adapters.contract import Adapter, Array, Layer
from conformance.corpus.case import Case
from conformance.corpus.shape import parse_shape

__all__ = [
    "ALL", "BOTH", "Check", "NotAskedError", "Subject", "UnfitError", "an_array", "integers", "small_case",
    "small_state",
]  # fmt: skip

#: All gradients of a call, and the two modes.
ALL = ("x", "gamma", "beta")
BOTH = ("train", "evaluate")


class UnfitError(Exception):
    """The adapter did what it must not.

    Args:
        did: what came of the call.
        expected: what the contract wants instead.
        remedy: what to do in the adapter.
    """

    def __init__(self, did: str, expected: str, remedy: str) -> None:
        super().__init__(did)
        self.did, self.expected, self.remedy = did, expected, remedy


class NotAskedError(Exception):
    """The adapter declares that it cannot be asked this; its text is the reason that it gives."""


@dataclass(frozen=True)
class Check:
    """One fact about an adapter: ``act`` returns if it holds, and raises ``UnfitError`` if not."""

    name: str
    fact: str
    act: Callable[[Subject], None]


class Subject:
    """The adapter that is looked at."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter

    @cached_property
    def tail(self) -> str:
        """Return what follows the shape ``4x3``: nothing, or ``x1x1`` where two dimensions cannot be asked."""
        tails = ("", "x1x1")
        asked = (tail for tail in tails for mode in BOTH if self.lacks(small_case(mode, shape=f"4x3{tail}")) is None)
        return next(asked, "")

    def lacks(self, case: Case) -> str | None:
        """Return why the adapter cannot be asked a case, or ``None``."""
        return self.adapter.unsupported(case)

    def case(self, *modes: str, shape: str = "4x3", **fields: Any) -> Case:
        """Return ``small_case``, of as many dimensions as the adapter can be asked."""
        return small_case(*modes, shape=shape + self.tail if shape.count("x") == 1 else shape, **fields)

    def modes(self, **fields: Any) -> list[str]:
        """Return the modes in which such a case can be asked.

        Raises:
            NotAskedError: there is none.
        """
        lacking = {mode: self.lacks(self.case(mode, **fields)) for mode in BOTH}
        if None not in lacking.values():
            raise NotAskedError(lacking["train"] or "")
        return [mode for mode, why in lacking.items() if why is None]

    def integers(self, dtype: str = "float32") -> Array:
        """Return the input of such a case: small integers, in every channel other ones."""
        return integers(f"4x3{self.tail}", dtype)

    def shaped(self, x: Array) -> Array:
        """Return an input of two dimensions with as many as the adapter can be asked."""
        return x.reshape(*x.shape, *(1,) * self.tail.count("x"))

    def built(self, case: Case, **state: Sequence[float]) -> Layer:
        """Return the layer of a case, its state that of ``small_state`` unless ``state`` says otherwise.

        Raises:
            NotAskedError: the adapter declares the case unsupported.
        """
        why = self.lacks(case)
        if why is not None:
            raise NotAskedError(why)
        dtype = case.layer.param_dtype
        return self.adapter.create(case.layer, small_state(dtype, **state))


def small_case(
    *modes: str, shape: str = "4x3", gradients: Sequence[str] = (), steps: Sequence[dict[str, Any]] = (), **fields: Any
) -> Case:
    """Return a case on a layer of three channels; what its steps say is what ``unsupported`` is asked about.

    ``modes`` are calls, with ``gradients`` each; ``steps`` are given beside them.
    """
    calls = [{mode: "a", "gradients": list(gradients)} for mode in modes]
    made = {"id": "smoke/case", "fact": "It is small.", "clauses": ["1.1"], "shape": shape, "momentum": 0.25, **fields}
    return msgspec.convert({**made, "steps": [*calls, *steps]}, Case)


def small_state(dtype: str = "float32", **changes: Sequence[float]) -> dict[str, Array]:
    """Return gamma, beta and running statistics of three channels, shape ``(3,)``: integers, all apart."""
    state = {"gamma": (1, 2, 4), "beta": (10, 20, 40), "running_mean": (1, 2, 3), "running_var": (4, 9, 16)}
    return {name: np.array(values, dtype) for name, values in {**state, **changes}.items()}


def integers(shape: str, dtype: str = "float32") -> Array:
    """Return an array of small integers, in every channel other ones."""
    lengths = parse_shape(shape)
    count = np.arange(int(np.prod(lengths)))
    return (count * 7 % 11 + count % 3).reshape(lengths).astype(dtype)


def an_array(value: Any, what: str, like: Array | Mapping[str, Any]) -> Array:
    """Return the value, an array of NumPy with shape and dtype of ``like``.

    Raises:
        UnfitError: it is no such array.
    """
    shape, dtype = (like["shape"], like["dtype"]) if isinstance(like, Mapping) else (like.shape, like.dtype)
    if not isinstance(value, np.ndarray):
        raise UnfitError(
            f"{what} is of the type {type(value).__module__}.{type(value).__qualname__}", "a numpy.ndarray",
            "convert what the framework gives, by its own way to NumPy",
        )  # fmt: skip
    if value.shape != shape:
        moved = sorted(value.shape) == sorted(shape)
        raise UnfitError(
            f"{what} has the shape {value.shape}", f"{shape}, that of the canonical layout (N, C, *spatial)",
            "move the channels back to the second axis: np.moveaxis(y, -1, 1)" if moved
            else "give the array as it is, neither flattened nor with further axes",
        )  # fmt: skip
    if value.dtype != dtype:
        raise UnfitError(
            f"{what} is {value.dtype}", f"{dtype}, as it was given",
            "convert to no other dtype on the way in or out; if the framework itself does, say so in unsupported()",
        )  # fmt: skip
    return value
