"""Hypothesis strategies for cases within the definition; simpler ones come first, so that shrinking finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from conformance.corpus.case import Case, Inputs, Step

__all__ = ["cases"]

_FACT = "An implementation answers what the definition says."
#: Values that all arrays of a case have together, at most about so many; a case of more only takes longer.
_VALUES = 400
_LABELS = "abcdefgh"


def _rarely(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Return the usual value three times out of four."""
    return st.sampled_from((usual,) * 3 * len(others) + others)


# Strategies are made once: making one takes Hypothesis longer than drawing from it.
_DTYPE = st.sampled_from(("float32", "float64", "float16", "bfloat16"))
_LAYER: dict[str, st.SearchStrategy[Any]] = {
    "momentum": st.sampled_from((0.1, 0.5, 0.9, 0.0, 1.0, 1 / 3, 0.01, 0.999, "cumulative")),
    "epsilon": st.sampled_from((1e-3, 1e-5, 0.1, 1.0, 1e-8, 1e-12)),
    "gamma": st.sampled_from(("random", "ones", "negative", "zeros", "none")),
    "beta": st.sampled_from(("random", "zeros", "none")),
    "state": st.sampled_from(("random", "initial", "own")),
    "tracked": _rarely(True, False),
    "memory": _rarely("contiguous", "strided", "reversed", "channels_last"),
    "channel_axis": _rarely("native", "second", "last"),
}
_PARAM_DTYPE = {dtype: _rarely(None, dtype) for dtype in ("float16", "bfloat16")}
#: Offset in standard deviations, and scale: what every value fits.
_OFFSET = {"float16": st.sampled_from((0, 1, -1, 10)), None: st.sampled_from((0, 1, -1, 10, 100, -1000))}
_SCALE = {"float16": st.sampled_from((1, 0.125, 8)), None: st.sampled_from((1, 1e-3, 1e3, 0.125, 8))}
_REPEAT = st.sampled_from((1, 1, 1, 2, 3))
_MODE = st.sampled_from(("train", "evaluate"))
_DY = _rarely("random", "ones")
_RANK, _ROWS, _CHANNELS = st.integers(2, 5), st.integers(2, 9), st.integers(1, 5)
_EXTENT = [st.integers(1, max(1, length)) for length in range(6)]
_ORDERS = st.sampled_from(((), (1,), (2,), (1, 2)))
_MAYBE = st.booleans()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case that is not open: shapes of rank 2 to 5, one to five steps, every option of layer and inputs."""
    dtype = draw(_DTYPE)
    shape = _shape(draw)
    layer: dict[str, Any] = {"dtype": dtype} | {name: draw(options) for name, options in _LAYER.items()}
    if dtype in _PARAM_DTYPE:
        layer["param_dtype"] = draw(_PARAM_DTYPE[dtype])
    offset = draw(_OFFSET.get(dtype, _OFFSET[None]))
    scale = draw(_SCALE.get(dtype, _SCALE[None]))
    # Higher derivatives where their bounds, which are measured, hold.
    determined = not offset and scale == 1
    steps = _program(draw, layer, higher=determined and draw(_MAYBE))
    return Case(
        id="fuzz/drawn", fact=_FACT, clauses=("1.1",), shape=shape, steps=steps,
        x=Inputs(offset=float(offset), scale=float(scale)), repeat=1 if len(steps) > 2 else draw(_REPEAT), **layer,
    )  # fmt: skip


def _shape(draw: st.DrawFn) -> str:
    """Draw a shape with two values per channel at least, and few enough of them to be quick."""
    rank = draw(_RANK)
    lengths = [draw(_ROWS), draw(_CHANNELS)]
    left = _VALUES // (lengths[0] * lengths[1])
    for _ in range(rank - 2):
        length = draw(_EXTENT[min(5, left)])
        left //= length
        lengths.append(length)
    return "x".join(map(str, lengths))


@dataclass
class _Written:
    """The steps drawn so far, and what later ones may refer to."""

    steps: list[Step] = field(default_factory=list)
    forwards: dict[str, str] = field(default_factory=dict)
    frozen: bool = False

    @property
    def label(self) -> str:
        return _LABELS[len(self.steps)]


def _program(draw: st.DrawFn, layer: dict[str, Any], *, higher: bool) -> tuple[Step, ...]:
    """Draw the steps: calls of the layer, of which later ones go back through earlier ones."""
    calls = [*draw(_BEFORE_HIGHER), _higher] if higher else draw(_SEVERAL)
    written = _Written()
    for call in calls:
        written.steps.append(call(draw, layer, written))
    return tuple(written.steps)


def _gradients(draw: st.DrawFn, layer: dict[str, Any], mode: str) -> tuple[Any, ...]:
    there = [name for name in ("x", "gamma", "beta") if layer.get(name) != "none"]
    if mode == "evaluate" and layer["tracked"]:
        there += ["running_mean", "running_var"]
    return tuple(name for name in there if draw(_MAYBE))


def _forward(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(_MODE)
    changes: dict[str, Any] = {mode: written.label, "gradients": _gradients(draw, layer, mode)}
    if draw(_MAYBE):
        changes["name"] = f"call_{written.label}"
        written.forwards[changes["name"]] = mode
    if changes["gradients"]:
        changes["dy"] = draw(_DY)
    return Step(**changes)


def _backward(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    if not written.forwards:
        return _forward(draw, layer, written)
    name = draw(st.sampled_from(sorted(written.forwards)))
    wanted = _gradients(draw, layer, written.forwards[name]) or ("x",)
    return Step(backward=name, gradients=wanted)


def _masked(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(_MODE)
    return Step(**{mode: written.label}, masked=True, gradients=_gradients(draw, layer, "train"))  # type: ignore[arg-type]


def _recomputed(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    return Step(train=written.label, recompute=True, gradients=_gradients(draw, layer, "train") or ("x",))


def _replicas(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    return Step(replicas=(f"{written.label}1", f"{written.label}2"), gradients=_gradients(draw, layer, "train"))


def _through_update(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    if not layer["tracked"]:
        return _forward(draw, layer, written)
    return Step(through_update=(f"{written.label}1", f"{written.label}2"))


def _freeze(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:  # noqa: ARG001
    written.frozen = not written.frozen
    return Step(freeze=written.frozen)


def _reload(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:  # noqa: ARG001
    # What was called before belongs to the layer that was saved.
    written.forwards.clear()
    return Step(reload=True)


def _higher(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(_MODE)
    variables = [name for name in ("x", "gamma", "dy") if layer.get(name) != "none" and draw(_MAYBE)]
    orders = draw(_ORDERS)
    third = draw(_MAYBE) if variables or orders else True
    asked: dict[str, Any] = {mode: written.label, "hvp": tuple(variables), "third": third, "jvp": orders}
    return Step(**asked)


_CALLS = (
    _forward, _forward, _forward, _forward, _backward, _backward,
    _recomputed, _masked, _replicas, _through_update, _freeze, _reload,
)  # fmt: skip
_SEVERAL = st.lists(st.sampled_from(_CALLS), min_size=1, max_size=5)
_BEFORE_HIGHER = st.lists(st.sampled_from((_forward, _forward, _freeze)), max_size=2)
