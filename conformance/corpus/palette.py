"""The shapes that cases draw from: few, so that compilers are asked for few programs."""

from __future__ import annotations

__all__ = ["EVALUATE_ONLY", "LARGE", "PALETTE"]

#: All dimensions of a shape differ, so that a wrong axis shows; ``n`` goes from 2 to 969. There is one channel,
#: and more of them, or of positions, than a vector register holds.
PALETTE = (
    "2x3", "3x2", "4x3", "5x3", "7x3", "64x5", "7x1", "4x37",
    "4x3x7", "1x3x7", "5x3x2x4", "3x2x17x19", "2x3x4x5x6",
)  # fmt: skip

#: One value per channel: a batch to evaluate on, never to train on.
EVALUATE_ONLY = ("1x3",)

#: The tag of cases whose shapes are their own, up to five million values per channel.
LARGE = "large"
