"""The table of topics: each a question, its answer, the cases that show it and the numbers that a run has for it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec

from conformance.corpus.case import Case
from conformance.corpus.marks import parse, plain
from conformance.results.rows import CellRow, QuantityRow

__all__ = ["STATE_IS_A_VALUE", "Asked", "Figure", "Shown", "Topic", "topics", "value_of"]

#: Implementations whose calls return the new state, to be kept or dropped; of all others a call changes the layer.
STATE_IS_A_VALUE = frozenset({
    "equinox-batch", "equinox-ema", "flax-linen", "flax-linen-two-pass", "haiku", "keras-jax", "onnx-reference-14",
    "onnx-reference-15", "onnx-reference-9", "stax", "tensorflow-fused", "tensorflow-nn", "torch-func",
})  # fmt: skip

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number of a run: the value at ``index``, in C order, of a quantity of one step of one case.

    ``worst`` is the element that errs most, in bounds: the one that results always keep.
    """

    case: NonEmpty
    step: Annotated[int, msgspec.Meta(ge=1)]
    quantity: NonEmpty
    label: NonEmpty
    index: Annotated[int, msgspec.Meta(ge=0)] | Literal["worst"] = 0


class Shown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number of what is asked: from which step and quantity, and how an array becomes one number.

    ``reduced`` is the ``first`` element, the ``last``, the ``largest`` absolute value, or ``apart``: the largest
    distance to the same quantity of step ``other``.
    """

    label: NonEmpty
    step: Annotated[int, msgspec.Meta(ge=1)]
    quantity: NonEmpty
    reduced: Literal["first", "last", "largest", "apart"] = "first"
    other: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked when the question is: a case without id, fact and clauses, and the numbers shown of it.

    ``under`` are the options that the oracle is asked under, by what they are called here; an ``epsilon`` among them is
    another one than the case's.
    """

    case: dict[str, Any]
    shown: Annotated[tuple[Shown, ...], msgspec.Meta(min_length=1)]
    under: dict[str, dict[str, str]] = msgspec.field(default_factory=lambda: {"oracle": {}})

    def question(self) -> Case:
        """Return the case.

        Raises:
            msgspec.ValidationError: it is none.
        """
        given = {"id": "question/asked", "fact": "A question.", "clauses": ("1.1",), **self.case}
        return msgspec.convert(given, Case)


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question with its answer.

    ``asked`` gives the numbers of ``conformance explain``.
    ``cases`` are patterns; ``choice`` is that of the dialect on which the answer depends, if it does; ``table`` names a
    further table of the report; ``source`` is the thread that asked, where it was one.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z]+(-[a-z]+)*$")]
    question: NonEmpty
    answer: NonEmpty
    cases: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]
    asked: Asked
    source: str = ""
    choice: str = ""
    table: str = ""
    numbers: tuple[Figure, ...] = ()


@cache
def topics() -> tuple[Topic, ...]:
    """Return all topics, in the order of the table."""
    text = resources.files(__package__).joinpath("topics.yaml").read_text("utf-8")
    return msgspec.convert(plain(parse(text, "topics.yaml")), tuple[Topic, ...])


def value_of(figure: Figure, cell: CellRow) -> float | str | None:
    """Return what a cell has observed of a figure; ``None`` where it answered nothing or kept other elements."""
    for row in cell.quantities:
        if (row.step, row.name) == (figure.step, figure.quantity) and row.observed and row.window:
            at = (_flat(row) if figure.index == "worst" else figure.index) - row.window[0]
            return row.observed[at] if 0 <= at < len(row.observed) else None
    return None


def _flat(row: QuantityRow) -> int:
    """Return the position of the worst element in C order."""
    at = 0
    for position, length in zip(row.worst_index or (), row.shape, strict=False):
        at = at * length + position
    return at
