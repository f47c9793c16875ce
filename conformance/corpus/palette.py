"""The shapes that cases draw from: few, so that compilers are asked for few programs."""

from __future__ import annotations

__all__ = ["EVALUATE_ONLY", "PALETTE"]

#: All dimensions of a shape differ, so that a wrong axis shows; ``n`` goes from 2 to 240.
PALETTE = ("2x3", "3x2", "4x3", "5x3", "7x3", "64x5", "4x3x7", "5x3x2x4", "2x3x4x5x6")

#: One row: a batch to evaluate on, never to train on.
EVALUATE_ONLY = ("1x3", "1x3x7")
