"""The case model: one question, put as a layer, named inputs and an ordered list of steps."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from conformance.corpus.layer import Dtype, Layer, Network
from conformance.corpus.name import ClauseNumber, Label, Name
from conformance.corpus.recipe import Inputs
from conformance.corpus.shape import ShapeText, parse_shape
from conformance.corpus.step import Step

__all__ = ["Case", "Inputs", "Layer", "Network", "Step"]

Parameter: TypeAlias = Literal["random", "ones", "zeros", "negative", "none"]


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
        if self.layer.rank == 2 and any(step.folded == "depthwise" for step in self.steps):
            raise ValueError("a `depthwise` convolution takes inputs with positions: a `shape` of rank 3 or more")

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
        rounds = [tuple(step.relabelled(k) for step in self.steps) for k in range(2, self.repeat + 1)]
        return self.steps + tuple(step for steps in rounds for step in steps)

    def input(self, label: str) -> Inputs:
        """Return how the input of that label is generated, its shape filled in."""
        spec = self.inputs.get(label.partition(".")[0], self.x)
        return spec if spec.shape is not None else msgspec.structs.replace(spec, shape=self.shape)


def _default_param_dtype(dtype: str) -> Any:
    return dtype if dtype in ("float32", "float64") else "float32"
