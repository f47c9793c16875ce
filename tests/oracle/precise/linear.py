"""What stands beside batch norm: linear layers and GELU."""

from __future__ import annotations

from itertools import product
from typing import Any

from mpmath import mp

from .arithmetic import Channel, Index, dot, exact


def linear(x: Any, kernel: Any, bias: Any, at: Index) -> Any:
    """Return one output, at row, unit and position, of a linear layer with zeros around its input (clause 20.2)."""
    row, unit, *position = at
    total = [exact(bias[unit])]
    first = unit // (len(kernel) * kernel.shape[1] // x.shape[1]) * kernel.shape[1]  # the first input of its group
    for feature, *place in product(*(range(length) for length in kernel.shape[1:])):
        moved = [p + q - extent // 2 for p, q, extent in zip(position, place, kernel.shape[2:], strict=True)]
        if all(0 <= p < length for p, length in zip(moved, x.shape[2:], strict=True)):
            total.append(exact(kernel[(unit, feature, *place)]) * exact(x[(row, first + feature, *moved)]))
    return mp.fsum(total)


def dense_rows(rows: list[Channel], kernel: list[Channel], bias: Channel) -> list[Channel]:
    return [[dot(row, units) + b for units, b in zip(kernel, bias, strict=True)] for row in rows]


def gelu(z: Any) -> Any:
    return z / 2 * (1 + mp.erf(z / mp.sqrt(2)))
