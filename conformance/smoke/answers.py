"""What an adapter hands over: arrays of NumPy, in the canonical layout, that stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.adapters.contract import Array, Forward, Layer
from conformance.smoke.check import (
    ALL,
    BOTH,
    NotAskedError,
    Subject,
    UnfitError,
    an_array,
    integers,
    small_case,
    small_state,
)

__all__ = ["differentiates", "gives_copies", "keeps_dtypes", "keeps_shapes"]

_SHAPES = ("4x3", "2x3x4", "2x3x4x5", "2x3x2x4x5")


def keeps_shapes(subject: Subject) -> None:
    """See that outputs have the shape of their inputs, at every rank and with the channels wherever they are wanted."""
    asked = 0
    for shape in _SHAPES:
        for axis in ("native", "second", "last"):
            for mode in BOTH:
                case = small_case(mode, shape=shape, channel_axis=axis)
                if (why := subject.lacks(case)) is None:
                    x, asked = integers(shape), asked + 1
                    y = subject.built(case).forward(x.copy(), mode).y
                    an_array(y, f"y of {mode} on {x.shape}, channel_axis {axis!r},", x)
    if not asked:
        raise NotAskedError(why or "")


def keeps_dtypes(subject: Subject) -> None:
    """See that float32 stays float32 and float64 float64: output, gradients and state."""
    for dtype in ("float32", "float64"):
        for mode in subject.modes():
            for gradients in ((), ALL):
                case = subject.case(mode, gradients=gradients, dtype=dtype)
                if subject.lacks(case) is not None:
                    continue
                x, where = subject.integers(dtype), f"of {mode} in {dtype}"
                layer = subject.built(case)
                called = layer.forward(x.copy(), mode)
                an_array(called.y, f"y {where}", x)
                for name, value in layer.get_state().items():
                    if name in ("running_mean", "running_var"):
                        an_array(value, f"{name} after {where[3:]}", {"shape": (3,), "dtype": np.dtype(dtype)})
                found = called.backward(_upstream(x), gradients) if gradients else {}
                for name, value in found.items():
                    like = x if name == "x" else {"shape": (3,), "dtype": np.dtype(dtype)}
                    an_array(value, f"the gradient of {name} {where}", like)


def differentiates(subject: Subject) -> None:
    """See that each gradient is the one that was asked for, alone and with others, as often as one likes."""
    for mode in subject.modes(gradients=ALL):
        for wrt in (ALL, *((name,) for name in ALL)):
            x, where = subject.integers(), f"of {mode}, asked for {', '.join(wrt)}"
            layer = subject.built(subject.case(mode, gradients=wrt))
            called = layer.forward(x.copy(), mode)
            layer.forward(x.copy() + 1, mode)
            first, second = (_gradients(called, x, wrt, where) for _ in range(2))
            _refuse_accumulated(first, second, where)
            sums = _upstream(x).sum((0, *range(2, x.ndim)))
            if wrt == ALL and not np.allclose(first["beta"], sums, rtol=1e-3):
                raise UnfitError(
                    f"the gradient of beta {where} is {first['beta']} for dy with the sums {sums}",
                    "the sum of dy over each channel", "go back from dy, in the layout of the output, not from ones",
                )  # fmt: skip


def gives_copies(subject: Subject) -> None:
    """See that what was handed over is not what later calls overwrite."""
    mode, *_ = subject.modes()
    layer = subject.built(subject.case(mode))
    given = _handed_over(layer, lambda: layer.forward(subject.integers(), mode))
    before = {name: value.copy() for name, value in given.items()}
    layer.forward(subject.integers()[::-1] * 3, mode)
    layer.set_state({name: value for name, value in small_state().items() if name.startswith("running")})
    layer.get_state()
    for name, value in given.items():
        if not np.array_equal(value, before[name]):
            raise UnfitError(
                f"{name} was {before[name].ravel()[:3]}, and {value.ravel()[:3]} when the layer was called again",
                "an array that is the caller's own", "hand over a copy: np.array(...), not a view of the framework's",
            )  # fmt: skip


def _handed_over(layer: Layer, call: Callable[[], Forward]) -> dict[str, Array]:
    y = call().y
    return {"y": y, **{name: np.asanyarray(value) for name, value in layer.get_state().items()}}


def _upstream(x: Array) -> Array:
    return np.flip(x) + 1


def _gradients(called: Forward, x: Array, wrt: tuple[str, ...], where: str) -> dict[str, Any]:
    """Return the gradients asked for, each of the shape and dtype of its variable."""
    found = called.backward(_upstream(x), wrt)
    parameter = {"shape": (3,), "dtype": x.dtype}
    for name in wrt:
        if name not in found:
            raise UnfitError(
                f"backward {where} gave {sorted(found)}", f"a gradient of {name}, too",
                "return what was asked for, by its name in the contract; what the framework has none of is told by "
                "unsupported()",
            )  # fmt: skip
        an_array(found[name], f"the gradient of {name} {where}", x if name == "x" else parameter)
    return {name: np.array(found[name]) for name in wrt}


def _refuse_accumulated(first: dict[str, Array], second: dict[str, Array], where: str) -> None:
    for name, value in first.items():
        if not np.allclose(value, second[name], rtol=1e-3, atol=1e-3):
            raise UnfitError(
                f"the gradient of {name} {where} was {value.ravel()[:3]}, then {second[name].ravel()[:3]}",
                "the same again: a backward can be repeated", "zero what the framework adds its gradients to, and keep "
                "the graph of each forward",
            )  # fmt: skip
