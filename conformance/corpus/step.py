"""One call of a case."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from conformance.corpus.name import Label

__all__ = ["Step"]

Mode: TypeAlias = Literal["train", "evaluate"]
Quantity: TypeAlias = Literal["y", "running_mean", "running_var"]
Gradient: TypeAlias = Literal["x", "gamma", "beta", "running_mean", "running_var"]
Variable: TypeAlias = Literal["x", "gamma", "dy"]
Folded: TypeAlias = Literal["biased", "unbiased", "depthwise"]


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
    as channels; ``depthwise`` is a convolution with a bias, in which each channel has a group of its own. A ``train``
    or ``evaluate`` step that is ``exported`` is put to the model to which the layer in that mode is exported. Of both
    the output is looked at, and the state that the layer is left with.
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

    def relabelled(self, k: int) -> Step:
        """Return the step on the inputs, and with the names, of round ``k`` of a case that repeats."""
        changes: dict[str, Any] = {}
        for kind in _LABELLED:
            label = getattr(self, kind)
            if label is not None:
                changes[kind] = f"{label}.{k}"
        for kind in ("through_update", "replicas", "average"):
            if getattr(self, kind) is not None:
                changes[kind] = tuple(f"{label}.{k}" for label in getattr(self, kind))
        return msgspec.structs.replace(self, **changes)


_STEP_KINDS = (
    "train", "evaluate", "backward", "through_update", "freeze", "reload", "replicas", "automatic", "save", "restore",
    "average", "converge",
)  # fmt: skip
#: Fields that hold one label or name.
_LABELLED = (
    "train", "evaluate", "backward", "same_as", "name", "automatic", "save", "restore", "converge", "against", "target",
)  # fmt: skip
