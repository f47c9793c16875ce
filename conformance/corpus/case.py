"""The case model: one question, put as a layer, named inputs and an ordered list of steps."""

from __future__ import annotations

import re
from itertools import pairwise
from math import prod
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

__all__ = ["Case", "Inputs", "Layer", "Network", "Step"]

Dtype: TypeAlias = Literal["float64", "float32", "bfloat16", "float16"]
Mode: TypeAlias = Literal["train", "evaluate"]
Quantity: TypeAlias = Literal["y", "running_mean", "running_var"]
Gradient: TypeAlias = Literal["x", "gamma", "beta", "running_mean", "running_var"]
Variable: TypeAlias = Literal["x", "gamma", "dy"]
Folded: TypeAlias = Literal["biased", "unbiased"]
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


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stack of ``blocks`` times dense, batch norm and GELU, then a dense layer of ``outputs`` units.

    Each dense layer of a block has ``width`` units; GELU is the exact one, ``z / 2 * (1 + erf(z / sqrt 2))``
    (Hendrycks & Gimpel 2016, arXiv:1606.08415). Input and output are of shape ``(N, features)``.
    """

    blocks: Annotated[int, msgspec.Meta(ge=1, le=64)]
    width: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    outputs: Annotated[int, msgspec.Meta(ge=1, le=4096)]

    @property
    def channels(self) -> int:
        """Return how many channels the batch norms have together, whose arrays are joined in their order."""
        return self.blocks * self.width

    def dense(self, features: int) -> tuple[tuple[int, int], ...]:
        """Return the shape ``(units, features)`` of the kernel of each dense layer."""
        widths = (features, *(self.width,) * self.blocks, self.outputs)
        return tuple((after, before) for before, after in pairwise(widths))


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


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One call of a case.

    Exactly one of: ``train`` or ``evaluate`` (a forward in that mode on the input of that label),
    ``backward`` (the gradients of an earlier forward, named by its ``name``), ``through_update``
    (two labels: train on the first, evaluate on the second, and ask for the gradient with respect
    to the first), ``freeze`` (by the implementation's own gesture; ``false`` thaws), ``reload``
    (save the layer as the implementation does, and go on with a new one that has loaded it), ``automatic``
    (a forward whose mode is the implementation's to find out: train where a gradient is taken, else evaluate),
    ``save`` (the state is kept under that name), ``restore`` (a state that was kept is put back), ``average``
    (the state becomes the average of those that were kept), ``converge`` (train on the input of that label
    ``times`` times and evaluate it before the first and after each ``every``-th).

    ``gradients`` are those of ``sum(y * dy)`` asked for in this step, ``observe`` what is read after
    it. A train step may ``recompute`` its forward in its backward, as checkpointing does; one that is
    ``rejected`` must raise an error; ``same_as`` names an earlier step whose output is the same bit for bit.
    A ``masked`` forward takes its statistics from a part of the positions only. ``replicas`` trains on two
    inputs at once, with synchronised statistics; outputs and gradients are joined along the rows.
    An ``evaluate`` step that is ``folded`` is put to a linear layer, with a bias or without, into which the layer was
    folded that came after it: dense, or a convolution over three positions in each spatial dimension, of as many inputs
    as channels. A ``train`` or ``evaluate`` step that is ``exported`` is put to the model to which the layer in that
    mode is exported. Of both the output is looked at, and the state that the layer is left with.
    A forward step ``against`` an earlier one has the mean square distance of their outputs, ``mse``; one with a
    ``target`` that of its output to the input of that label, ``loss``.

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
    automatic: Label | None = None
    save: Label | None = None
    restore: Label | None = None
    average: Annotated[tuple[Label, ...], msgspec.Meta(min_length=2)] | None = None
    converge: Label | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 1
    every: Annotated[int, msgspec.Meta(ge=1)] = 1
    masked: bool = False
    recompute: bool = False
    folded: Folded | None = None
    exported: bool = False
    rejected: bool = False
    same_as: Label | None = None
    against: Label | None = None
    target: Label | None = None
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
        if self.deployed:
            self._refuse_beside_deployed()
        given = [kind for kind in _STEP_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"a step is exactly one of {', '.join(_STEP_KINDS)}; got {given or 'none'}")
        if self.backward is not None and not self.gradients:
            raise ValueError("a backward step names its `gradients`")
        if self.masked and (self.mode is None or self.replicas is not None):
            raise ValueError("only a `train` or `evaluate` step is `masked`")
        if self.mode is None and (self.name or self.same_as or self.rejected or self.against or self.target):
            what = "a `name` or a `target`, is `same_as` or `against` another, or is `rejected`"
            raise ValueError(f"only a train or evaluate step has {what}")
        if self.converge is None and (self.times, self.every) != (1, 1):
            raise ValueError("`times` and `every` go with `converge`")
        if self.converge is not None and self.times % self.every:
            raise ValueError(f"`times: {self.times}` is no multiple of `every: {self.every}`")
        if self.recompute and (self.train is None or not self.gradients):
            raise ValueError("only a train step with `gradients` can `recompute` its forward")

    def _refuse_beside_deployed(self) -> None:
        others = ("gradients", "name", "masked", "recompute", "rejected", "same_as", "against", "target")
        if any(getattr(self, other) for other in others) or self.differentiates or (self.folded and self.exported):
            raise ValueError("a step that is `folded` or `exported` observes, and asks for nothing else")
        if self.folded and self.evaluate is None:
            raise ValueError("only an `evaluate` step is `folded`")
        if self.train is None and self.evaluate is None:
            raise ValueError("only a `train` or `evaluate` step is `exported`")

    def _refuse_beside_derivatives(self) -> None:
        others = ("gradients", "name", "recompute", "rejected", "same_as", "against", "target")
        if self.mode is None or any(getattr(self, other) for other in others):
            raise ValueError("`hvp`, `third` and `jvp` go with `train` or `evaluate`, and with nothing else")

    @property
    def differentiates(self) -> bool:
        """Tell whether the step asks for higher derivatives of its call."""
        return bool(self.hvp or self.third or self.jvp)

    @property
    def deployed(self) -> bool:
        """Tell whether the step is put to what becomes of the layer: folded into another, or exported."""
        return self.folded is not None or self.exported

    @property
    def mode(self) -> Mode | None:
        """Return the mode of a forward step, ``None`` for any other."""
        if self.automatic is not None:
            return "train" if self.gradients else "evaluate"
        if self.train is not None or self.replicas is not None:
            return "train"
        return "evaluate" if self.evaluate is not None else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the inputs that the step uses."""
        several = self.through_update or self.replicas
        if several is not None:
            return several
        given = (self.train, self.evaluate, self.automatic, self.converge)
        return tuple(label for label in given if label is not None)

    @property
    def moves_state(self) -> bool:
        """Tell whether the step puts a state in the place of the layer's, without a call."""
        return self.restore is not None or self.average is not None


_STEP_KINDS = (
    "train", "evaluate", "backward", "through_update", "freeze", "reload", "replicas", "automatic", "save", "restore",
    "average", "converge",
)  # fmt: skip


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One expanded case. ``id`` is stable: ``file/name[param=value,...]``.

    An ``open`` case asks what the definition is silent about: nothing is predicted, observations are
    grouped. Only there may a shape have a zero, epsilon be 0, or momentum lie outside 0 to 1. With a
    ``network`` the case asks a whole stack, whose batch norms have the parameters and state.
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
    network: Network | None = None
    repeat: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    tags: tuple[Name, ...] = ()
    reported: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.open:
            self._refuse_degenerate()
        used = {label for step in self.steps for label in (*step.labels, *filter(None, (step.target,)))}
        sources = {source for label in used & set(self.inputs) for source in self.inputs[label].sources}
        unused = set(self.inputs) - used - sources
        if unused:
            raise ValueError(f"`inputs` describes {', '.join(sorted(unused))}, which no step uses")
        self._refuse_states()
        if self.network is not None:
            self._refuse_beside_network()
        forwards: set[str] = set()
        for step in self.steps:
            for field in ("backward", "same_as", "against"):
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

    def _refuse_states(self) -> None:
        saved: set[str] = set()
        for step in self.steps:
            wanted = step.average or (() if step.restore is None else (step.restore,))
            for name in wanted:
                if name not in saved:
                    raise ValueError(f"a state `{name}` is put back that no earlier step has saved")
            if step.save is not None:
                saved.add(step.save)
        if not self.tracked and any(step.save or step.moves_state for step in self.steps):
            raise ValueError("a layer that is not `tracked` has no state to save")
        if any(step.folded for step in self.steps) and (not self.tracked or self.layer.dtype != self.layer.param_dtype):
            raise ValueError("a layer that is `folded` keeps running statistics, and is float32 or float64 throughout")

    def _refuse_beside_network(self) -> None:
        if len(parse_shape(self.shape)) != 2 or self.state == "random":
            raise ValueError("a `network` takes inputs of shape `N x features`, and its `state` is `initial` or `own`")
        if "none" in (self.gamma, self.beta) or not self.tracked:
            raise ValueError("the batch norms of a `network` have gamma, beta and running statistics")
        for step in self.steps:
            known = step.mode is not None or step.converge is not None or step.save or step.moves_state
            odd = (step.masked, step.recompute, step.replicas, step.third, step.jvp, step.automatic, step.target,
                   step.folded, step.exported)  # fmt: skip
            if not known or any(odd) or step.rejected or {*step.gradients, *step.hvp} - {"x"}:
                allowed = "with no derivatives but `gradients: [x]` and `hvp: [x]`"
                raise ValueError(f"a `network` is trained, evaluated and made to converge, {allowed}")

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
            channels=shape[1] if self.network is None else self.network.width,
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
    def state_channels(self) -> int:
        """Return the length of gamma, beta and the running statistics."""
        return self.layer.channels if self.network is None else self.network.channels

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


#: Fields that hold one label or name.
_LABELLED = (
    "train", "evaluate", "backward", "same_as", "name", "automatic", "save", "restore", "converge", "against", "target",
)  # fmt: skip


def _relabel(step: Step, k: int) -> Step:
    changes: dict[str, Any] = {}
    for kind in _LABELLED:
        label = getattr(step, kind)
        if label is not None:
            changes[kind] = f"{label}.{k}"
    for kind in ("through_update", "replicas", "average"):
        if getattr(step, kind) is not None:
            changes[kind] = tuple(f"{label}.{k}" for label in getattr(step, kind))
    return msgspec.structs.replace(step, **changes)
