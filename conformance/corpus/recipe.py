"""How an input of a case is made; ``inputs`` makes it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from conformance.corpus.name import Label
from conformance.corpus.shape import ShapeText

__all__ = ["Inputs"]


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an input is generated.

    ``offset`` is the distance of the mean from zero in standard deviations, ``scale`` the standard
    deviation; channels differ by shifts and factors of order one. ``kind: constant`` repeats one
    value in a channel; ``values`` gives them outright, in C order. ``shape`` overrides the case's.

    ``of`` takes the values of another input instead, and changes them: rows in reverse order
    (``reversed_rows``), then times ``multiplied``, then plus ``added``, rounded to the dtype.
    ``joined`` takes the rows of several other inputs, one after the other. ``poison`` puts one NaN or
    infinity into the first channel, at its first position.
    """

    kind: Literal["normal", "constant", "values"] = "normal"
    offset: float = 0.0
    scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    shape: ShapeText | None = None
    values: tuple[float, ...] | None = None
    of: Label | None = None
    joined: tuple[Label, ...] = ()
    reversed_rows: bool = False
    multiplied: float = 1.0
    added: float = 0.0
    poison: Literal["none", "nan", "inf"] = "none"

    def __post_init__(self) -> None:
        if self.of is None and (self.reversed_rows or self.multiplied != 1 or self.added != 0):
            raise ValueError("`reversed_rows`, `multiplied` and `added` change another input: name it with `of`")
        if (self.kind == "values") != (self.values is not None):
            raise ValueError("`values` goes with `kind: values`, and only with it")
        if self.joined and (self.of is not None or self.values is not None or len(self.joined) < 2):
            raise ValueError("`joined` names two other inputs or more, and goes with neither `of` nor `values`")

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the labels of the inputs that this one is made from."""
        return self.joined or (() if self.of is None else (self.of,))
