"""What an adapter keeps: the state as it was given, layers apart, errors as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.adapters.contract import Array, Layer
from conformance.smoke.check import NotAskedError, Subject, UnfitError, an_array

__all__ = ["has_whole_abilities", "hides_no_error", "keeps_layers_apart", "keeps_the_state"]

_STATISTICS = ("running_mean", "running_var")
#: No number of these is a short binary fraction: what rounds them shows.
_GIVEN = {"running_mean": (0.1, -1 / 3, 1e-3), "running_var": (0.7, 1 / 7, 1e3)}


def keeps_the_state(subject: Subject) -> None:
    """See that the state is what was given, bit for bit, at first and after it was set; and what was not set, stays."""
    layer = subject.built(subject.case("evaluate"), **_GIVEN)
    given = {name: np.array(values, "float32") for name, values in _GIVEN.items()}
    _expect(layer, given, "create(layer, state)")
    swapped = {"running_mean": given["running_var"], "running_var": np.abs(given["running_mean"])}
    layer.set_state({name: value.copy() for name, value in swapped.items()})
    _expect(layer, swapped, "set_state(state)")
    layer.set_state({"running_mean": given["running_mean"].copy()})
    _expect(layer, {**swapped, "running_mean": given["running_mean"]}, "set_state of the running mean alone")


def keeps_layers_apart(subject: Subject) -> None:
    """See that a new layer starts anew, whatever was made of the one before."""
    mode, *_ = subject.modes()
    case = subject.case(mode)
    first = _own_state(subject, case)
    layer = subject.built(case)
    layer.forward(subject.integers() * 5, mode)
    layer.set_state({name: np.array((25, 36, 49), "float32") for name in _STATISTICS})
    second = _own_state(subject, case)
    for name, value in first.items():
        if not np.array_equal(value, second[name]):
            raise UnfitError(
                f"a new layer had {name} {value}, and another {second[name]} after a third was trained",
                "the same of every new layer", "make a new layer of the framework in every create(), and no array by "
                "default that layers share",
            )  # fmt: skip


def hides_no_error(subject: Subject) -> None:
    """See that an error gets through: of ``forward`` and ``backward`` on what cannot be used at all."""
    mode, *_ = subject.modes()
    layer = subject.built(subject.case(mode))
    _expect_error("forward", lambda: layer.forward(_Unusable(), mode).y)  # type: ignore[arg-type]
    if subject.lacks(subject.case(mode, gradients=("x",))) is None:
        called = layer.forward(subject.integers(), mode)
        _expect_error("backward", lambda: called.backward(_Unusable(), ("x",))["x"])  # type: ignore[arg-type]


def has_whole_abilities(subject: Subject) -> None:
    """See that who can freeze can thaw, and that a layer that was saved and loaded is one, with its state."""
    layer: Any = subject.built(subject.case(subject.modes()[0]))
    has = {name for name in ("freeze", "thaw", "reload") if hasattr(layer, name)}
    if len(has & {"freeze", "thaw"}) == 1:
        raise UnfitError(f"the layer has {', '.join(has & {'freeze', 'thaw'})} alone", "freeze and thaw, or neither",
                         "write the other one, too")  # fmt: skip
    if "reload" not in has:
        return
    state = {name: np.array(value) for name, value in layer.get_state().items() if name in _STATISTICS}
    fresh = layer.reload()
    if not all(hasattr(fresh, name) for name in ("forward", "get_state", "set_state")):
        raise UnfitError(f"reload() gave {fresh!r}", "a layer", "return the new layer that has loaded what was saved")
    _expect(fresh, state, "reload()")


class _Unusable:
    """Stands for an array, and raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise PlantedError


class PlantedError(Exception):
    """Raised by what a check hands over in place of an array."""


def _raise(*_: object, **__: object) -> Any:
    raise PlantedError


for _name in (
    "__array__", "__len__", "__iter__", "__getitem__", "__float__", "__index__", "__bool__", "__add__", "__radd__",
    "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__neg__", "__matmul__",
):  # fmt: skip
    setattr(_Unusable, _name, _raise)


def _expect_error(what: str, act: Callable[[], object]) -> None:
    try:
        found = act()
    except Exception:  # noqa: BLE001  (whichever the framework makes of it)
        return
    raise UnfitError(
        f"{what} gave {type(found).__name__} for an array that raises whatever is done with it", "the error",
        f"catch nothing in {what}: an error is an answer, too, and the suite's to judge",
    )


def _own_state(subject: Subject, case: Any) -> dict[str, Array]:
    why = subject.lacks(case)
    if why is not None:
        raise NotAskedError(why)
    state = subject.adapter.create(case.layer, {}).get_state()
    return {name: np.array(state[name]) for name in _STATISTICS if name in state}


def _expect(layer: Layer, wanted: dict[str, Array], after: str) -> None:
    state = layer.get_state()
    for name, value in wanted.items():
        if name not in state:
            raise UnfitError(f"get_state() gave {sorted(state)}", f"{name}, too", "return both running statistics")
        found = an_array(state[name], f"{name} after {after}", value)
        if not np.array_equal(found, value):
            raise UnfitError(
                f"{name} is {found} after {after}", f"{value}, as it was given",
                "hand it to the framework as it is, and read it back from there",
            )
