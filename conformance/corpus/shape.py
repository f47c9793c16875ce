"""Shapes as a case file writes them, in the canonical layout ``(N, C, *spatial)``."""

from __future__ import annotations

from math import prod
from typing import Annotated, TypeAlias

import msgspec

__all__ = ["ShapeText", "parse_shape", "values_per_channel"]

ShapeText: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(x[0-9]+){1,4}$")]


def parse_shape(text: str) -> tuple[int, ...]:
    """Return ``(4, 3, 7)`` for ``4x3x7``."""
    return tuple(int(length) for length in text.split("x"))


def values_per_channel(shape: tuple[int, ...]) -> int:
    """Return ``n = N * prod(spatial)`` for a shape in canonical layout."""
    return shape[0] * prod(shape[2:])
