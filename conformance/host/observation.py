"""What came back from a host for one case: outcomes, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from conformance.adapters.contract import Array
from conformance.definition.dialect import Dialect

__all__ = ["NO_FORWARD", "UNSUPPORTED", "Crashed", "Faulty", "Observation", "Outcome", "Raised"]

#: Type of the error of a step that asks for an ability which the layer does not have.
UNSUPPORTED = "Unsupported"
#: Type of the error of a backward whose forward failed.
NO_FORWARD = "NoForward"


@dataclass(frozen=True)
class Raised:
    """An error that a step ended in: the name of its class, and its text."""

    type: str
    message: str


Outcome: TypeAlias = Array | Raised


@dataclass(frozen=True)
class Observation:
    """All outcomes of one case.

    ``outcomes`` goes by step (counted from 1 in ``case.program``) and quantity: ``y``,
    ``running_mean``, ``running_var``, ``dx``, ``dgamma``, ``dbeta``, ``drunning_mean``,
    ``drunning_var``, ``dx_earlier``, each as the adapter gave it, unchecked. A step that raised has
    an ``outcome`` of type ``Raised`` beside what it had yielded; an error of ``create`` is the
    outcome of step 0. ``seconds`` is the time spent inside the adapter.
    """

    dialect: Dialect
    unsupported: str | None = None
    outcomes: Mapping[tuple[int, str], Outcome] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Crashed:
    """The implementation killed its host, or ran past a limit; ``again`` tells whether asking again may tell more."""

    reason: str
    again: bool = True


@dataclass(frozen=True)
class Faulty:
    """The fault lies with the adapter or the host, not with the implementation: the cell is void."""

    reason: str
