"""What a clause is, and the areas under which the clauses stand."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AREAS", "PAPER", "Clause"]

#: The source of most.
PAPER = "Ioffe & Szegedy 2015, arXiv:1502.03167"


@dataclass(frozen=True)
class Clause:
    """One numbered sentence of the definition; ``number`` is ``area.position``."""

    number: str
    sentence: str
    formula: str
    source: str

    @property
    def area(self) -> str:
        """Return the heading under which the clause stands."""
        return AREAS[self.place[0]]

    @property
    def place(self) -> tuple[int, int]:
        """Return the number as numbers, in which order the clauses stand: 3.10 comes after 3.2."""
        area, _, position = self.number.partition(".")
        return int(area), int(position)


AREAS: dict[int, str] = {
    1: "Normalise in train",
    2: "Affine or not",
    3: "Running mean and running variance",
    4: "When the state moves",
    5: "Evaluate",
    6: "Gradients in train",
    7: "Gradients in evaluate",
    8: "Differentiability of the update",
    9: "Higher order",
    10: "Frozen",
    11: "Untracked",
    12: "Numerical quality",
    13: "Low precision",
    14: "Layout",
    15: "Degenerate batches",
    16: "NaN and infinity",
    17: "Execution modes",
    18: "Masks and synchronised statistics",
    19: "Metamorphic",
    20: "Saving and loading",
    21: "Scenarios: several steps together",
}
