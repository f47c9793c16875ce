"""The choices that the definition leaves to an implementation, as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Literal, get_args, get_type_hints

__all__ = ["REFERENCE", "UNDECLARED", "Dialect", "choices", "options"]

UNDECLARED = "undeclared"

TrainStatistics = Literal["batch", "updated"]
RunningVariance = Literal["sample", "population", "over-n-1-epsilon", "sample-over-n-1-epsilon"]
Momentum = Literal["new", "old"]
Constants = Literal["own", "float32", "float32 each", "float32 both", "float32 new", "float32 momentum", "float32 old"]
FirstUpdate = Literal["blend", "replace", "debias"]
UpdateGradient = Literal["undeclared", "detached", "differentiable"]
Recomputation = Literal["undeclared", "once", "again"]
Frozen = Literal["undeclared", "A", "B", "C"]
Untracked = Literal["undeclared", "batch", "initial", "refused"]
StatisticsGradient = Literal["undeclared", "constant", "leaf", "refused"]
StateDtype = Literal["undeclared", "parameters", "float32"]
Exported = Literal["undeclared", "running", "batch", "refused"]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One option per choice.

    Where the paper (Ioffe & Szegedy 2015, arXiv:1502.03167) decides, the default is its option.
    Where it is silent the default is ``undeclared``: nothing is predicted, and what is observed is
    shown as an open quantity. In train a layer normalises with the statistics of the ``batch``, or with the
    running ones into which it has just blended those (``updated``). The estimators of the running
    variance are, as a factor of the population variance ``var`` of ``n`` values: ``sample``
    ``n/(n-1)``; ``population`` ``1``; ``over-n-1-epsilon`` ``n/(n-1-epsilon)``;
    ``sample-over-n-1-epsilon`` the product of the first and the last. ``momentum`` says what the number
    given to the layer, seen through its adapter, weighs: the ``new`` batch or the ``old`` state.
    ``constants`` are epsilon and the weight of the old state: as they are, or kept in ``float32`` whatever
    the layer's dtype, which a float64 layer shows; in ``float32 each`` so is the weight of the batch, made of
    the other as it was rounded; in ``float32 both`` it is rounded for itself; in ``float32 new`` epsilon and the
    weight of the batch are, the old state's is 1 minus that; in ``float32 momentum`` the weight of the batch alone
    is, in ``float32 old`` that of the old state alone. ``recomputation``: whether a forward that the
    backward does ``again`` moves the state again. A ``frozen`` layer in train uses batch statistics
    and moves its state (``A``), leaves it (``B``), or uses the running statistics (``C``).
    ``untracked`` is what evaluate uses where no running statistics are kept. ``state_dtype`` is that of the
    state of a layer with 16-bit parameters: their own, or ``float32``. A model ``exported`` from a layer in train
    normalises with the ``running`` statistics or with those of each ``batch``, unless exporting it is ``refused``.

    Raises:
        ValueError: a field holds something that is not one of its options.
    """

    train_statistics: TrainStatistics = field(default="batch", metadata={"clause": "1.1"})
    running_variance: RunningVariance = field(default="sample", metadata={"clause": "3.2"})
    momentum: Momentum = field(default="new", metadata={"clause": "3.1"})
    constants: Constants = field(default="own", metadata={"clause": "3.1"})
    first_update: FirstUpdate = field(default="blend", metadata={"clause": "3.5"})
    statistics_gradient: StatisticsGradient = field(
        default="undeclared", metadata={"clause": "7.3", "silent": True}
    )
    update_gradient: UpdateGradient = field(
        default="undeclared", metadata={"clause": "8.1", "silent": True}
    )
    recomputation: Recomputation = field(default="undeclared", metadata={"clause": "4.6", "silent": True})
    frozen: Frozen = field(default="undeclared", metadata={"clause": "10.1", "silent": True})
    untracked: Untracked = field(default="undeclared", metadata={"clause": "11.1", "silent": True})
    state_dtype: StateDtype = field(default="undeclared", metadata={"clause": "13.3", "silent": True})
    exported: Exported = field(default="undeclared", metadata={"clause": "20.4", "silent": True})

    def __post_init__(self) -> None:
        for choice, known in _OPTIONS.items():
            value = getattr(self, choice)
            if value not in known:
                raise ValueError(f"dialect: {choice} is {value!r}; expected one of {', '.join(known)}")

    def __hash__(self) -> int:
        """Return what is made of all choices at the first call."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, choice) for choice in _OPTIONS))

    def reference(self) -> Dialect:
        """Return the dialect that this one is judged against.

        The reference follows the paper where it decides, and this declaration where it is silent.
        """
        return _reference(self)


def choices() -> dict[str, str]:
    """Return the names of the choices, each with the clause that leaves it open."""
    return {choice.name: str(choice.metadata["clause"]) for choice in fields(Dialect)}


def options(choice: str) -> tuple[str, ...]:
    """Return the options of one choice, in the order of the definition."""
    return _OPTIONS[choice]


@lru_cache(maxsize=256)
def _reference(dialect: Dialect) -> Dialect:
    silent = {choice.name for choice in fields(Dialect) if choice.metadata.get("silent")}
    return Dialect(**{choice: getattr(dialect, choice) for choice in silent})


_HINTS = get_type_hints(Dialect)
_OPTIONS: dict[str, tuple[str, ...]] = {choice.name: get_args(_HINTS[choice.name]) for choice in fields(Dialect)}

REFERENCE = Dialect()
