"""The messages between client and host, as records; ``docs/protocol.md`` describes their JSON."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from conformance.adapters.contract import Defaults, Implementation
from conformance.corpus.case import Case, Layer, Network, Step
from conformance.corpus.step import Gradient, Quantity, Variable
from conformance.definition.dialect import Dialect

__all__ = [
    "Call", "Check", "Checked",
    "Describe", "Described", "Exit", "Failed", "Failure", "Ran", "Request", "Run", "StepError", "StepReply",
    "call_of",
]  # fmt: skip


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a program as it travels: ``corpus.case.Step`` with every field written out."""

    train: str | None = None
    evaluate: str | None = None
    backward: str | None = None
    through_update: tuple[str, str] | None = None
    freeze: bool | None = None
    reload: bool | None = None
    replicas: tuple[str, str] | None = None
    automatic: str | None = None
    save: str | None = None
    restore: str | None = None
    average: tuple[str, ...] | None = None
    converge: str | None = None
    times: int = 1
    every: int = 1
    masked: bool = False
    recompute: bool = False
    folded: bool = False
    exported: bool = False
    name: str | None = None
    gradients: tuple[Gradient, ...] = ()
    hvp: tuple[Variable, ...] = ()
    third: bool = False
    jvp: tuple[int, ...] = ()
    observe: tuple[Quantity, ...] = ()


class Describe(msgspec.Struct, frozen=True, tag_field="op", tag="describe"):
    """Ask who is there."""


class Run(msgspec.Struct, frozen=True, tag_field="op", tag="run"):
    """Ask one case. ``layer``, ``network`` and ``program`` follow from ``case``, and spare a host deriving them."""

    case: Case
    layer: Layer
    program: tuple[Call, ...]
    network: Network | None = None

    @classmethod
    def of(cls, case: Case) -> Run:
        """Return the request for a case."""
        return cls(case, case.layer, tuple(call_of(step) for step in case.program), case.network)


class Check(msgspec.Struct, frozen=True, tag_field="op", tag="check"):
    """Ask for one of the checks of ``conformance smoke``, by its name; hosts in Python alone know them."""

    name: str


class Exit(msgspec.Struct, frozen=True, tag_field="op", tag="exit"):
    """Ask the host to end; nothing is answered."""


Request: TypeAlias = Describe | Run | Check | Exit


class Described(msgspec.Struct, frozen=True):
    """Who is there, which optional methods the adapter has, and what it takes where its user says nothing."""

    implementation: Implementation
    abilities: tuple[str, ...] = ()
    defaults: Defaults | None = None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """How a check of the adapter ended.

    ``did`` says what the adapter did, ``expected`` what the contract wants, ``remedy`` what to change; all are empty
    where the fact holds. ``why`` is the adapter's reason where it cannot be asked this.
    """

    did: str = ""
    expected: str = ""
    remedy: str = ""
    why: str = ""


class StepError(msgspec.Struct, frozen=True):
    """An error that a call ended in."""

    type: str
    message: str


class StepReply(msgspec.Struct, frozen=True):
    """How one call ended."""

    raises: StepError | None = None


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a case; the arrays are named ``STEP:QUANTITY``."""

    dialect: Dialect
    unsupported: str | None = None
    create: StepReply = StepReply()
    steps: tuple[StepReply, ...] = ()
    seconds: float = 0.0


class Failure(msgspec.Struct, frozen=True):
    """A fault of adapter or host; ``step`` is what it was doing, such as ``import``."""

    step: str
    type: str
    message: str
    traceback: str = ""


class Failed(msgspec.Struct, frozen=True):
    """The answer to any request that could not be served; any other answer has no ``error``."""

    error: Failure | None = None


def call_of(step: Step) -> Call:
    """Return the step as it travels; an output that another is measured against is observed."""
    observe = step.observe
    if (step.against is not None or step.target is not None) and "y" not in observe:
        observe = ("y", *observe)
    return Call(
        train=step.train, evaluate=step.evaluate, backward=step.backward, through_update=step.through_update,
        freeze=step.freeze, reload=step.reload,
        replicas=step.replicas, masked=step.masked, recompute=step.recompute, name=step.name, gradients=step.gradients,
        hvp=step.hvp, third=step.third, jvp=step.jvp, observe=observe,
        automatic=step.automatic, save=step.save, restore=step.restore, average=step.average,
        converge=step.converge, times=step.times, every=step.every,
        folded=step.folded is not None, exported=step.exported,
    )  # fmt: skip
