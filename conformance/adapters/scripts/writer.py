"""What a script of one implementation is made of: the lines that build its layer, call it and read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.corpus.case import Case

__all__ = ["Call", "CannotWrite", "Lines", "Writer", "arguments", "moved", "tuple_of"]

Lines = list[str]


class CannotWrite(Exception):  # noqa: N818  (an answer, no fault)
    """The implementation has no plain way of writing what a case asks; the text says what."""


@dataclass(frozen=True)
class Call:
    """One forward: the number of its step, the NumPy array it is called on, and what becomes of it.

    ``differentiated`` tells whether a gradient of it is asked for, now or later, ``wrt`` by what; ``replicas`` names
    the arrays that replicas are called on, each its own.
    """

    number: int
    x: str
    mode: str
    differentiated: bool = False
    recompute: bool = False
    mask: str | None = None
    wrt: frozenset[str] = frozenset()
    replicas: tuple[str, ...] = ()


class Writer(ABC):
    """Writes lines of Python.

    Arrays are NumPy variables in canonical layout: ``gamma``, ``beta``, ``running_mean``, ``running_var`` (those of
    ``held``), inputs and upstream gradients by the names given. A forward of step 1 leaves ``y_1``, its gradients
    ``dx_1``, ``dgamma_1`` and so on, as NumPy arrays in canonical layout; bfloat16 travels as float32.

    Args:
        case: what is asked.
        held: the arrays that the layer is given; it makes the others itself.
        execution: how calls are run, such as ``eager`` or ``jit``.
    """

    #: Whether the framework is given the channels on the last axis unless the case says where.
    native_last = False
    #: All that there is of a state, each by the name that ``read`` and ``put`` know.
    state_names: tuple[str, ...] = ("running_mean", "running_var")
    #: The variables that ``reload`` makes anew, and that the backward of an earlier call needs as they were.
    renewed: tuple[str, ...] = ("layer",)

    def __init__(self, case: Case, held: frozenset[str], execution: str = "eager") -> None:
        self.case, self.layer, self.held, self.execution = case, case.layer, held, execution
        axis = self.layer.channel_axis
        self.last = (axis == "last" or (axis == "native" and self.native_last)) and self.layer.rank > 2

    @property
    @abstractmethod
    def imports(self) -> Lines:
        """Return the import lines; NumPy is there already, as ``np``."""

    @abstractmethod
    def build(self) -> Lines:
        """Return the lines that make the layer with its state."""

    @abstractmethod
    def forward(self, call: Call) -> Lines:
        """Return the lines of a forward; the last one sets ``y_NUMBER``."""

    @abstractmethod
    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Return the lines that set ``dx_NUMBER``, ... to gradients of an earlier forward."""

    @abstractmethod
    def read(self, name: str) -> str:
        """Return the expression of a running statistic."""

    def replicate(self, call: Call) -> Lines:
        """Return the lines of a training forward on several inputs at once, with synchronised statistics.

        The last one sets ``y_NUMBER`` to the outputs joined along the rows.
        """
        raise CannotWrite("there are no replicas with synchronised statistics")

    def automatic(self, call: Call) -> Lines:
        """Return the lines of a forward whose mode is left to the framework."""
        raise CannotWrite("the mode has to be chosen")

    def fold(self, call: Call, kernel: str, bias: str | None, groups: int) -> Lines:
        """Return the lines that fold the layer into a linear one before it; the last one sets ``y_NUMBER``.

        ``kernel`` and ``bias`` are NumPy arrays as ``contract.Adapter`` describes them; a convolution is in ``groups``.
        """
        raise CannotWrite("there is nothing that folds the layer")

    def export(self, call: Call) -> Lines:
        """Return the lines that export the layer and run what is exported; the last one sets ``y_NUMBER``."""
        raise CannotWrite("there is nothing that exports the layer in this mode")

    def freeze(self, *, wanted: bool) -> Lines:
        """Return the lines that freeze the layer, or thaw it."""
        raise CannotWrite("there is no gesture for freezing")

    def reload(self) -> Lines:
        """Return the lines that save the layer and go on with a new one that has loaded it."""
        raise CannotWrite("saving and loading is not written out")

    def put(self, name: str, array: str) -> Lines:
        """Return the lines that overwrite a running statistic by a NumPy array, which ``read`` has given before."""
        raise CannotWrite("putting a kept state back is not written out")

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Return the lines that set ``dx_earlier_NUMBER``: train, evaluate, differentiate by the first input."""
        raise CannotWrite("the gradient through the update is not written out")

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Return the lines that set ``hvp_x_NUMBER``, ``third_x_NUMBER``, ``jvp_y_NUMBER``, ... as ``asked``.

        Directions are ``v_x_NUMBER``, ``v_dy_NUMBER`` and ``v_gamma_NUMBER``.
        """
        raise CannotWrite("higher derivatives are not written out")

    @property
    def sixteen(self) -> bool:
        """Tell whether arrays of the case travel as float32 because NumPy lacks their dtype."""
        return "bfloat16" in (self.layer.dtype, self.layer.param_dtype)

    def kept_weight(self) -> str:
        """Return the weight of the old state, as frameworks take it that call this the momentum."""
        momentum = self.layer.momentum
        if momentum is None:
            raise CannotWrite("there is no cumulative average")
        return repr(1 - momentum)

    def inside(self, name: str) -> str:
        """Return the array with its channels where the framework wants them."""
        return f"np.moveaxis({name}, 1, -1)" if self.last else name

    def outside(self, expression: str) -> str:
        """Return the array in canonical layout again."""
        return f"np.moveaxis({expression}, -1, 1)" if self.last else expression


def moved(expression: str, *, last: bool) -> str:
    """Return the NumPy expression of a framework's array in canonical layout."""
    return f"np.moveaxis({expression}, -1, 1)" if last else expression


def arguments(*positional: object, **named: object) -> str:
    """Return the arguments of a call as text; ``None`` leaves one out."""
    given = [str(one) for one in positional]
    return ", ".join([*given, *(f"{name}={value}" for name, value in named.items() if value is not None)])


def tuple_of(names: Sequence[str]) -> str:
    """Return the names as the left side of an assignment from a sequence."""
    return ", ".join(names) + ("," if len(names) == 1 else "")
