"""Hypothesis strategies for cases within the definition; simpler ones come first, so that shrinking finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from conformance.corpus.case import Case, Inputs, Step

__all__ = ["cases"]

_FACT = "An implementation answers what the definition says."
_DTYPES = ("float32", "float64", "float16", "bfloat16")
#: Largest offset in standard deviations, scales: what every value fits, and what higher derivatives stay determined at.
_OFFSETS = {"float16": (0, 1, -1, 10), None: (0, 1, -1, 10, 100, -1000)}
_SCALES = {"float16": (1, 0.125, 8), None: (1, 1e-3, 1e3, 0.125, 8)}
#: Values that all arrays of a case have together, at most about so many; a case of more only takes longer.
_VALUES = 400
_LABELS = "abcdefgh"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case that is not open: shapes of rank 2 to 5, one to five steps, every option of layer and inputs."""
    dtype = draw(st.sampled_from(_DTYPES))
    shape = draw(_shapes())
    layer: dict[str, Any] = {
        "dtype": dtype,
        "momentum": draw(st.sampled_from((0.1, 0.5, 0.9, 0.0, 1.0, 1 / 3, 0.01, 0.999, "cumulative"))),
        "epsilon": draw(st.sampled_from((1e-3, 1e-5, 0.1, 1.0, 1e-8, 1e-12))),
        "gamma": draw(st.sampled_from(("random", "ones", "negative", "zeros", "none"))),
        "beta": draw(st.sampled_from(("random", "zeros", "none"))),
        "state": draw(st.sampled_from(("random", "initial", "own"))),
        "tracked": draw(_rarely(True, False)),
        "memory": draw(_rarely("contiguous", "strided", "reversed", "channels_last")),
        "channel_axis": draw(_rarely("native", "second", "last")),
    }
    if dtype in ("float16", "bfloat16"):
        layer["param_dtype"] = draw(_rarely(None, dtype))
    offset = draw(st.sampled_from(_OFFSETS.get(dtype, _OFFSETS[None])))
    scale = draw(st.sampled_from(_SCALES.get(dtype, _SCALES[None])))
    # Higher derivatives where their bounds, which are measured, hold: in full precision, with running statistics.
    determined = not offset and scale == 1 and layer["tracked"] and dtype in ("float32", "float64")
    steps = draw(_programs(layer, kind="higher" if determined and draw(st.booleans()) else "first"))
    return Case(
        id="fuzz/drawn", fact=_FACT, clauses=("1.1",), shape=shape, steps=steps,
        x=Inputs(offset=float(offset), scale=float(scale)), repeat=draw(_repeats(steps)), **layer,
    )  # fmt: skip


@st.composite
def _shapes(draw: st.DrawFn) -> str:
    """Draw a shape with two values per channel at least, and few enough of them to be quick."""
    rank = draw(st.integers(2, 5))
    lengths = [draw(st.integers(2, 9)), draw(st.integers(1, 5))]
    left = _VALUES // (lengths[0] * lengths[1])
    for _ in range(rank - 2):
        length = draw(st.integers(1, max(1, min(5, left))))
        left //= length
        lengths.append(length)
    return "x".join(map(str, lengths))


def _rarely(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Return the usual value three times out of four."""
    return st.one_of(st.just(usual), st.just(usual), st.just(usual), st.sampled_from(others))


def _repeats(steps: tuple[Step, ...]) -> st.SearchStrategy[int]:
    return st.just(1) if len(steps) > 2 else st.sampled_from((1, 1, 1, 2, 3))


@dataclass
class _Written:
    """The steps drawn so far, and what later ones may refer to."""

    steps: list[Step] = field(default_factory=list)
    forwards: dict[str, str] = field(default_factory=dict)
    frozen: bool = False

    @property
    def label(self) -> str:
        return _LABELS[len(self.steps)]


@st.composite
def _programs(draw: st.DrawFn, layer: dict[str, Any], kind: str) -> tuple[Step, ...]:
    """Draw the steps: calls of the layer, of which later ones go back through earlier ones."""
    if kind == "higher":
        calls = draw(st.lists(st.just(_forward), max_size=1))
        calls.append(_higher)
    else:
        calls = draw(st.lists(st.sampled_from(_CALLS), min_size=1, max_size=5))
    written = _Written()
    for call in calls:
        written.steps.append(call(draw, layer, written))
    return tuple(written.steps)


def _gradients(draw: st.DrawFn, layer: dict[str, Any], mode: str) -> tuple[Any, ...]:
    there = [name for name in ("x", "gamma", "beta") if layer.get(name) != "none"]
    if mode == "evaluate" and layer["tracked"]:
        there += ["running_mean", "running_var"]
    return tuple(name for name in there if draw(st.booleans()))


def _forward(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(st.sampled_from(("train", "evaluate")))
    changes: dict[str, Any] = {mode: written.label, "gradients": _gradients(draw, layer, mode)}
    if draw(st.booleans()):
        changes["name"] = f"call_{written.label}"
        written.forwards[changes["name"]] = mode
    if changes["gradients"]:
        changes["dy"] = draw(_rarely("random", "ones"))
    return Step(**changes)


def _backward(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    if not written.forwards:
        return _forward(draw, layer, written)
    name = draw(st.sampled_from(sorted(written.forwards)))
    wanted = _gradients(draw, layer, written.forwards[name]) or ("x",)
    return Step(backward=name, gradients=wanted)


def _masked(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    mode = draw(st.sampled_from(("train", "evaluate")))
    return Step(**{mode: written.label}, masked=True, gradients=_gradients(draw, layer, "train"))  # type: ignore[arg-type]


def _recomputed(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    return Step(train=written.label, recompute=True, gradients=_gradients(draw, layer, "train") or ("x",))


def _replicas(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    return Step(replicas=(f"{written.label}1", f"{written.label}2"), gradients=_gradients(draw, layer, "train"))


def _through_update(draw: st.DrawFn, layer: dict[str, Any], written: _Written) -> Step:
    # Its bound knows nothing of what a state that is stored in 16 bits has lost on the way.
    if not layer["tracked"] or layer.get("param_dtype") is not None or written.frozen:
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
    mode = draw(st.sampled_from(("train", "evaluate")))
    variables = [name for name in ("x", "gamma", "dy") if layer.get(name) != "none" and draw(st.booleans())]
    orders = draw(st.sampled_from(((), (1,), (2,), (1, 2))))
    third = draw(st.booleans()) if variables or orders else True
    asked: dict[str, Any] = {mode: written.label, "hvp": tuple(variables), "third": third, "jvp": orders}
    return Step(**asked)


_CALLS = (
    _forward, _forward, _forward, _forward, _backward, _backward,
    _recomputed, _masked, _replicas, _through_update, _freeze, _reload,
)  # fmt: skip
