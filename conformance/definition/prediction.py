"""What the oracle predicts of a case: for each quantity of each step a value with bounds, or less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from conformance.definition.batch_norm import Array

__all__ = ["Expected", "Key", "Predicted", "Prediction", "Refused", "Same", "Undetermined"]

#: Step (from 1) and name of a quantity.
Key: TypeAlias = tuple[int, str]


@dataclass(frozen=True)
class Expected:
    """A value in canonical layout, the dtype it is to have, and its error bounds, element-wise.

    ``tight`` is what blocked summation achieves, ``plain`` the worst case of any stable order. Of a value that is not
    finite the bounds are 0, or NaN where any number will do that is not finite. Where ``undefined`` is true, rounding
    may leave no number: the root of a negative variance.
    """

    value: Array
    tight: Array
    plain: Array
    dtype: str
    undefined: Array | None = None


@dataclass(frozen=True)
class Refused:
    """The call raises an error; the definition does not say which."""


@dataclass(frozen=True)
class Undetermined:
    """A choice that nobody declared: whatever is observed is shown, and not judged."""

    choice: str


@dataclass(frozen=True)
class Same:
    """The output is that of an earlier step, bit for bit."""

    earlier: Key


Predicted: TypeAlias = Expected | Refused | Undetermined | Same
Prediction: TypeAlias = Mapping[Key, Predicted]
