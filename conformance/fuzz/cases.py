"""Hypothesis strategies for cases within the definition; simpler ones come first, so that shrinking finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from conformance.corpus.case import Case, Inputs, Step
from conformance.corpus.step import Folded

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
_SELDOM = _rarely(False, True)
_USUALLY = _rarely(True, False)
_EIGHTH = st.sampled_from((False,) * 7 + (True,))
#: Whether nothing out of the ordinary is drawn of an input, or of a call: fewer draws, and so what shrinking prefers.
_PLAIN = st.sampled_from((True, False))
_OTHER_ROWS = st.sampled_from((None, 1, 2, 3, 6))
#: Of an input; all that comes after one that is not finite tells little.
_ODD = st.sampled_from((None,) * 15 + ({"kind": "constant"}, {"poison": "nan"}, {"poison": "inf"}))
_FOLDED: dict[bool, st.SearchStrategy[Folded]] = {
    True: st.sampled_from(("biased", "unbiased", "depthwise")), False: st.sampled_from(("biased", "unbiased")),
}  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case that is not open: shapes of rank 2 to 5, one to five steps, every option of layer and inputs."""
    dtype = draw(_DTYPE)
    shape = _shape(draw)
    layer: dict[str, Any] = {"dtype": dtype} | {name: draw(options) for name, options in _LAYER.items()}
    if dtype in _PARAM_DTYPE:
        layer["param_dtype"] = draw(_PARAM_DTYPE[dtype])
    # Where their bounds, which are measured, hold; they take their time.
    higher = draw(_EIGHTH)
    written = _program(draw, layer, shape, Inputs() if higher else _inputs(draw, dtype), higher=higher)
    return Case(
        id="fuzz/drawn", fact=_FACT, clauses=("1.1",), shape=shape, steps=tuple(written.steps), x=written.x,
        inputs=written.inputs, repeat=1 if len(written.steps) > 2 else draw(_REPEAT), **layer,
    )  # fmt: skip


def _inputs(draw: st.DrawFn, dtype: str) -> Inputs:
    offset, scale = draw(_OFFSET.get(dtype, _OFFSET[None])), draw(_SCALE.get(dtype, _SCALE[None]))
    return Inputs(offset=float(offset), scale=float(scale))


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


@dataclass(frozen=True)
class _Called:
    """A forward that a later step may refer to, by what it was put to: an input of so many rows."""

    mode: str
    rows: int


@dataclass
class _Written:
    """The steps drawn so far, and what later ones may refer to."""

    shape: str
    x: Inputs
    steps: list[Step] = field(default_factory=list)
    #: What is put to single batches, and how many rows those have.
    rows: dict[str, int] = field(default_factory=dict)
    forwards: dict[str, _Called] = field(default_factory=dict)
    saved: list[str] = field(default_factory=list)
    inputs: dict[str, Inputs] = field(default_factory=dict)
    frozen: bool = False

    @property
    def label(self) -> str:
        return _LABELS[len(self.steps)]

    def described(
        self, label: str, *, rows: int | None = None, channels: int | None = None, odd: dict[str, Any] | None = None
    ) -> str:
        """Give an input other rows or channels than the case has, or something odd."""
        lengths = self.shape.split("x")
        lengths[0], lengths[1] = str(rows or lengths[0]), str(channels or lengths[1])
        if (shape := "x".join(lengths)) != self.shape:
            self.inputs[label] = replace(self.x, shape=shape)
        if odd:
            self.inputs[label] = replace(self.inputs.get(label, self.x), **odd)
        return label


def _program(draw: st.DrawFn, layer: dict[str, Any], shape: str, x: Inputs, *, higher: bool) -> _Written:
    """Draw the steps: calls of the layer, of which later ones go back through earlier ones.

    What a layer need not have is asked in a few kinds at a time: a case is for those who have all that it asks.
    """
    calls = [*draw(_BEFORE_HIGHER), _higher] if higher else draw(_calls_of(tuple(draw(_FURTHER))))
    written = _Written(shape, x)
    for call in [_freeze, *calls] if draw(_EIGHTH) else calls:
        written.steps.append(call(draw, layer, written))
    return written


def _gradients(draw: st.DrawFn, layer: dict[str, Any], mode: str) -> tuple[Any, ...]:
    there = [name for name in ("x", "gamma", "beta") if layer.get(name) != "none"]
    if mode == "evaluate" and layer["tracked"]:
        there += ["running_mean", "running_var"]
    return tuple(draw(_some_of(tuple(there))))


def _batch(draw: st.DrawFn, layer: dict[str, Any], written: _Written, mode: str) -> str:
    """Draw the label of a batch: of a new one, which may have other rows than the others, or of an earlier one."""
    label, rows, odd = written.label, None, None
    if not draw(_PLAIN):
        if bool(written.rows) and draw(_MAYBE):
            return draw(st.sampled_from(sorted(written.rows)))
        rows, odd = draw(_OTHER_ROWS), draw(_ODD)
    if rows == 1 and (mode == "train" or not layer["tracked"]):
        rows = None
    if rows != 1:  # which none can train on
        written.rows[label] = rows or int(written.shape.split("x")[0])
    return written.described(label, rows=rows, odd=odd)


def _forward(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(_MODE)
    label = _batch(draw, layer, written, mode)
    changes: dict[str, Any] = {mode: label, "gradients": _gradients(draw, layer, mode)}
    if draw(_PLAIN):
        return Step(**changes)
    rows = written.rows.get(label, 1)
    alike = sorted(name for name, call in written.forwards.items() if call.rows == rows)
    if alike and draw(_SELDOM):
        changes["against"] = draw(st.sampled_from(alike))
    if draw(_SELDOM):
        changes["target"] = written.described(f"{written.label}_target", rows=rows)
    if draw(_USUALLY):
        changes["name"] = f"call_{written.label}"
        written.forwards[changes["name"]] = _Called(mode, rows)
    if changes["gradients"]:
        changes["dy"] = draw(_DY)
    return Step(**changes)


def _backward(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    if not written.forwards:
        return _forward(draw, layer, written)
    name = draw(st.sampled_from(sorted(written.forwards)))
    wanted = _gradients(draw, layer, written.forwards[name].mode) or ("x",)
    return Step(backward=name, gradients=wanted)


def _automatic(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    return Step(automatic=written.label, gradients=_gradients(draw, layer, "train"))


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


def _rejected(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    channels = int(written.shape.split("x")[1])
    if channels == 1:  # which may be broadcast
        return _forward(draw, layer, written)
    mode = draw(_MODE)
    return Step(**{mode: written.described(written.label, channels=channels + 1)}, rejected=True)  # type: ignore[arg-type]


def _converge(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    every = draw(_REPEAT)
    return Step(converge=_batch(draw, layer, written, "train"), times=every * draw(_REPEAT), every=every)


def _freeze(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:  # noqa: ARG001
    written.frozen = not written.frozen
    return Step(freeze=written.frozen)


def _reload(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:  # noqa: ARG001
    # What was called before belongs to the layer that was saved.
    written.forwards.clear()
    return Step(reload=True)


def _put_back(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    # Not every layer gives the count of a cumulative average with its state.
    if not layer["tracked"] or layer["momentum"] == "cumulative":
        return _forward(draw, layer, written)
    if len(written.saved) < 2 and (not written.saved or draw(_MAYBE)):
        written.saved.append(f"state_{written.label}")
        return Step(save=written.saved[-1])
    written.forwards.clear()
    if len(written.saved) > 1 and draw(_MAYBE):
        return Step(average=tuple(written.saved))
    return Step(restore=draw(st.sampled_from(written.saved)))


def _folded(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    alone = layer["dtype"] in ("float32", "float64") or layer["param_dtype"] == layer["dtype"]
    if not layer["tracked"] or not alone:
        return _forward(draw, layer, written)
    positions = written.shape.count("x") > 1
    return Step(evaluate=_batch(draw, layer, written, "evaluate"), folded=draw(_FOLDED[positions]))


def _exported(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(_MODE)
    return Step(**{mode: _batch(draw, layer, written, mode)}, exported=True)  # type: ignore[arg-type]


def _higher(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(_MODE)
    variables = draw(_some_of(tuple(name for name in ("x", "gamma", "dy") if layer.get(name) != "none")))
    orders = draw(_ORDERS)
    third = draw(_MAYBE) if variables or orders else True
    asked: dict[str, Any] = {mode: written.label, "hvp": variables, "third": third, "jvp": orders}
    return Step(**asked)


@cache
def _some_of(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """Return the strategy of some of the names: one draw, where one for each would take as long as judging."""
    return st.sampled_from([some for count in range(len(names) + 1) for some in combinations(names, count)])


@cache
def _calls_of(further: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Return the strategy of one to five calls: forwards and backwards, and those kinds beside them."""
    every = (_forward,) * 4 + (_backward,) * 2
    return st.lists(st.sampled_from(every + 4 * further), min_size=1, max_size=5)


_FURTHER = st.lists(
    st.sampled_from((
        _freeze, _reload, _put_back, _through_update, _recomputed, _automatic, _converge, _rejected, _masked,
        _replicas, _folded, _exported,
    )), max_size=2,
)  # fmt: skip
_BEFORE_HIGHER = st.lists(st.just(_forward), max_size=2)
