"""The case model: one question, put as a layer, named inputs and an ordered list of steps."""

from __future__ import annotations

import re
from math import prod
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

__all__ = ["Case", "Inputs", "Layer", "Step"]

Dtype: TypeAlias = Literal["float64", "float32", "bfloat16", "float16"]
Mode: TypeAlias = Literal["train", "evaluate"]
Quantity: TypeAlias = Literal["y", "running_mean", "running_var"]
Gradient: TypeAlias = Literal["x", "gamma", "beta", "running_mean", "running_var"]
Variable: TypeAlias = Literal["x", "gamma", "dy"]
Parameter: TypeAlias = Literal["random", "ones", "zeros", "negative", "none"]
ShapeText = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(x[0-9]+){1,4}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Label = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]
ClauseNumber = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+$")]


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter builds: one batch norm layer over ``channels`` channels.

    ``momentum`` weighs the new batch; ``None`` asks for the cumulative average. ``channel_axis``
    is where the implementation is to find the channels: ``second``, ``last``, or ``native``,
    whatever suits it. A layer that is not ``tracked`` keeps no running statistics. Arrays reach the
    adapter in the canonical layout ``(N, C, *spatial)`` always.
    """

    channels: int
    rank: int
    momentum: float | None
    epsilon: float
    gamma: bool
    beta: bool
    tracked: bool
    dtype: Dtype
    param_dtype: Dtype
    channel_axis: Literal["native", "second", "last"]


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an input is generated.

    ``offset`` is the distance of the mean from zero in standard deviations, ``scale`` the standard
    deviation; channels differ by shifts and factors of order one. ``kind: constant`` repeats one
    value in a channel; ``values`` gives them outright, in C order. ``shape`` overrides the case's.

    ``of`` takes the values of another input instead, and changes them: rows in reverse order
    (``reversed_rows``), then times ``multiplied``, then plus ``added``, rounded to the dtype.
    ``poison`` puts one NaN or infinity into the first channel, at its first position.
    """

    kind: Literal["normal", "constant", "values"] = "normal"
    offset: float = 0.0
    scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    shape: ShapeText | None = None
    values: tuple[float, ...] | None = None
    of: Label | None = None
    reversed_rows: bool = False
    multiplied: float = 1.0
    added: float = 0.0
    poison: Literal["none", "nan", "inf"] = "none"

    def __post_init__(self) -> None:
        if self.of is None and (self.reversed_rows or self.multiplied != 1 or self.added != 0):
            raise ValueError("`reversed_rows`, `multiplied` and `added` change another input: name it with `of`")
        if (self.kind == "values") != (self.values is not None):
            raise ValueError("`values` goes with `kind: values`, and only with it")


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One call of a case.

    Exactly one of: ``train`` or ``evaluate`` (a forward in that mode on the input of that label),
    ``backward`` (the gradients of an earlier forward, named by its ``name``), ``through_update``
    (two labels: train on the first, evaluate on the second, and ask for the gradient with respect
    to the first), ``freeze`` (by the implementation's own gesture; ``false`` thaws), ``reload``
    (save the layer as the implementation does, and go on with a new one that has loaded it).

    ``gradients`` are those of ``sum(y * dy)`` asked for in this step, ``observe`` what is read after
    it. A train step may ``recompute`` its forward in its backward, as checkpointing does; one that is
    ``rejected`` must raise an error; ``same_as`` names an earlier step whose output is the same bit for bit.
    A ``masked`` forward takes its statistics from a part of the positions only. ``replicas`` trains on two
    inputs at once, with synchronised statistics; outputs and gradients are joined along the rows.

    A forward step with ``hvp``, ``third`` or ``jvp`` asks for higher derivatives of the call, and for nothing
    else, the state included: ``hvp`` names the variables of a Hessian-vector product of ``sum(y * dy)``,
    ``third`` asks for the third derivative in ``x``, ``jvp`` names orders of forward mode in ``x``.
    ``direction`` is along which.
    """

    train: Label | None = None
    evaluate: Label | None = None
    backward: Label | None = None
    through_update: tuple[Label, Label] | None = None
    freeze: bool | None = None
    reload: Literal[True] | None = None
    replicas: tuple[Label, Label] | None = None
    masked: bool = False
    recompute: bool = False
    rejected: bool = False
    same_as: Label | None = None
    name: Label | None = None
    gradients: tuple[Gradient, ...] = ()
    dy: Literal["random", "ones"] = "random"
    hvp: tuple[Variable, ...] = ()
    third: bool = False
    jvp: tuple[Literal[1, 2], ...] = ()
    direction: Literal["random", "ones"] = "random"
    observe: tuple[Quantity, ...] = ("y", "running_mean", "running_var")

    def __post_init__(self) -> None:
        if self.differentiates:
            self._refuse_beside_derivatives()
            msgspec.structs.force_setattr(self, "observe", ())
        given = [kind for kind in _STEP_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"a step is exactly one of {', '.join(_STEP_KINDS)}; got {given or 'none'}")
        if self.backward is not None and not self.gradients:
            raise ValueError("a backward step names its `gradients`")
        if self.masked and (self.mode is None or self.replicas is not None):
            raise ValueError("only a `train` or `evaluate` step is `masked`")
        if self.mode is None and (self.name is not None or self.same_as is not None or self.rejected):
            raise ValueError("only a train or evaluate step has a `name`, is `same_as` another or `rejected`")
        if self.recompute and (self.train is None or not self.gradients):
            raise ValueError("only a train step with `gradients` can `recompute` its forward")

    def _refuse_beside_derivatives(self) -> None:
        others = ("gradients", "name", "recompute", "rejected", "same_as")
        if self.mode is None or any(getattr(self, other) for other in others):
            raise ValueError("`hvp`, `third` and `jvp` go with `train` or `evaluate`, and with nothing else")

    @property
    def differentiates(self) -> bool:
        """Tell whether the step asks for higher derivatives of its call."""
        return bool(self.hvp or self.third or self.jvp)

    @property
    def mode(self) -> Mode | None:
        """Return the mode of a forward step, ``None`` for any other."""
        if self.train is not None or self.replicas is not None:
            return "train"
        return "evaluate" if self.evaluate is not None else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the inputs that the step uses."""
        several = self.through_update or self.replicas
        if several is not None:
            return several
        label = self.train if self.train is not None else self.evaluate
        return () if label is None else (label,)


_STEP_KINDS = ("train", "evaluate", "backward", "through_update", "freeze", "reload", "replicas")


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One expanded case. ``id`` is stable: ``file/name[param=value,...]``.

    An ``open`` case asks what the definition is silent about: nothing is predicted, observations are
    grouped. Only there may a shape have a zero, epsilon be 0, or momentum lie outside 0 to 1.
    """

    id: str
    fact: str
    clauses: tuple[ClauseNumber, ...]
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1)]
    shape: ShapeText = "4x3x7"
    dtype: Dtype = "float32"
    param_dtype: Dtype | None = None
    channel_axis: Literal["native", "second", "last"] = "native"
    momentum: float | Literal["cumulative"] = 0.1
    epsilon: Annotated[float, msgspec.Meta(ge=0)] = 1e-3
    gamma: Parameter = "random"
    beta: Parameter = "random"
    state: Literal["random", "initial", "own", "negative"] = "random"
    tracked: bool = True
    open: bool = False
    memory: Literal["contiguous", "strided", "reversed", "channels_last"] = "contiguous"
    x: Inputs = msgspec.field(default_factory=Inputs)
    inputs: dict[Label, Inputs] = msgspec.field(default_factory=dict)
    repeat: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    tags: tuple[Name, ...] = ()
    reported: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.open:
            self._refuse_degenerate()
        used = {label for step in self.steps for label in step.labels}
        unused = set(self.inputs) - used - {self.inputs[label].of for label in used & set(self.inputs)}
        if unused:
            raise ValueError(f"`inputs` describes {', '.join(sorted(unused))}, which no step uses")
        forwards: set[str] = set()
        for step in self.steps:
            for field in ("backward", "same_as"):
                earlier = getattr(step, field)
                if earlier is not None and earlier not in forwards:
                    raise ValueError(f"`{field}: {earlier}` names no earlier step of the case")
            if step.name is not None:
                if step.name in forwards:
                    raise ValueError(f"two steps are named {step.name}")
                forwards.add(step.name)
            absent = {p for p in ("gamma", "beta") if getattr(self, p) == "none"} & {*step.gradients, *step.hvp}
            if absent:
                raise ValueError(f"a gradient is asked for {', '.join(sorted(absent))}, which the layer lacks")

    def _refuse_degenerate(self) -> None:
        if self.momentum != "cumulative" and not 0 <= self.momentum <= 1:
            raise ValueError(f"`momentum` is {self.momentum}, expected 0 to 1 unless the case is `open`")
        if self.epsilon == 0 or self.state == "negative":
            raise ValueError("epsilon 0 and a negative running variance are for cases that are `open`")
        shapes = [self.shape, *(spec.shape for spec in self.inputs.values() if spec.shape is not None)]
        if any(0 in parse_shape(shape) for shape in shapes):
            raise ValueError("a shape with a zero is for cases that are `open`")

    @property
    def file(self) -> str:
        """Return the case file's path below ``cases/``, without its suffix."""
        return re.sub(r"\[.*", "", self.id).rpartition("/")[0]

    @property
    def layer(self) -> Layer:
        """Return the layer that the case asks for."""
        shape = parse_shape(self.shape)
        return Layer(
            channels=shape[1],
            rank=len(shape),
            momentum=None if self.momentum == "cumulative" else float(self.momentum),
            epsilon=self.epsilon,
            gamma=self.gamma != "none",
            beta=self.beta != "none",
            tracked=self.tracked,
            dtype=self.dtype,
            param_dtype=self.param_dtype or _default_param_dtype(self.dtype),
            channel_axis=self.channel_axis,
        )

    @property
    def program(self) -> tuple[Step, ...]:
        """Return the steps in the order of their calls, repetitions written out.

        Repetition ``k`` (from 2) works on inputs of its own, labelled ``label.k``.
        """
        rounds = [tuple(_relabel(step, k) for step in self.steps) for k in range(2, self.repeat + 1)]
        return self.steps + tuple(step for steps in rounds for step in steps)

    def input(self, label: str) -> Inputs:
        """Return how the input of that label is generated, its shape filled in."""
        spec = self.inputs.get(label.partition(".")[0], self.x)
        return spec if spec.shape is not None else msgspec.structs.replace(spec, shape=self.shape)


def parse_shape(text: str) -> tuple[int, ...]:
    """Return ``(4, 3, 7)`` for ``4x3x7``."""
    return tuple(int(length) for length in text.split("x"))


def values_per_channel(shape: tuple[int, ...]) -> int:
    """Return ``n = N * prod(spatial)`` for a shape in canonical layout."""
    return shape[0] * prod(shape[2:])


def _default_param_dtype(dtype: str) -> Any:
    return dtype if dtype in ("float32", "float64") else "float32"


def _relabel(step: Step, k: int) -> Step:
    changes: dict[str, Any] = {}
    for kind in ("train", "evaluate", "backward", "same_as", "name"):
        label = getattr(step, kind)
        if label is not None:
            changes[kind] = f"{label}.{k}"
    for kind in ("through_update", "replicas"):
        if getattr(step, kind) is not None:
            changes[kind] = tuple(f"{label}.{k}" for label in getattr(step, kind))
    return msgspec.structs.replace(step, **changes)
