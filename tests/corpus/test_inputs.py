"""Inputs are the same everywhere, representable in their dtype, and made to show a wrong axis."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.corpus.case import Case, Inputs, Step
from conformance.corpus.inputs import generate, laid_out
from conformance.corpus.load import load_corpus
from conformance.corpus.palette import PALETTE
from conformance.corpus.shape import parse_shape
from conformance.errors import CaseError

DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
CORPUS = load_corpus()

#: A few arrays, by their bytes: a drift of the generator shows here.
GOLDEN = {
    ("float64", "x:a"): "bad98654f3cb876e",
    ("float32", "x:a"): "7279cbf1f081fac0",
    ("float16", "x:a"): "ba7d5bb849573c61",
    ("bfloat16", "x:a"): "8da46e384842f3fc",
    ("float64", "dy:1"): "bda316e49518d261",
    ("float32", "gamma"): "0c8a7c0910d6abfd",
    ("float64", "running_mean"): "c418959b7d17bc26",
    ("float64", "running_var"): "ab327bad13dd7f66",
}


def make(**fields: Any) -> Case:
    """Return a case of one training forward with gradients, changed in some fields."""
    step = Step(train="a", gradients=("x",))
    return Case(**{"id": "f/n", "fact": "F is G.", "clauses": ("1.1",), "steps": (step,), **fields})


def fingerprint(array: np.ndarray[Any, Any]) -> str:
    """Return the start of the hash of shape, dtype and bytes, little-endian."""
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(f"{array.shape}{array.dtype.name}".encode() + data).hexdigest()[:16]


@pytest.mark.parametrize(("dtype", "name"), GOLDEN, ids=lambda part: str(part).replace(":", "-"))
def test_arrays_are_the_same_everywhere(dtype: str, name: str) -> None:
    """The bytes of an input are those that every other machine generates."""
    arrays = generate(make(dtype=dtype, x=Inputs(offset=3, scale=0.1)))
    assert GOLDEN[dtype, name] == fingerprint(arrays[name])


@given(
    shape=st.sampled_from(PALETTE),
    dtype=st.sampled_from(list(DTYPES)),
    offset=st.sampled_from([0.0, 10.0, 100.0]),
)
def test_values_are_representable(shape: str, dtype: str, offset: float) -> None:
    """Every array has the dtype that the case asks for, shape included, and finite values."""
    case = make(shape=shape, dtype=dtype, x=Inputs(offset=offset))
    arrays = generate(case)
    assert {"x:a", "dy:1", "gamma", "beta", "running_mean", "running_var"} == set(arrays)
    for name, array in arrays.items():
        of_input = name in ("x:a", "dy:1")
        assert DTYPES[dtype if of_input else case.layer.param_dtype] == array.dtype
        assert (parse_shape(shape) if of_input else (case.layer.channels,)) == array.shape
        assert np.isfinite(array.astype(np.float64)).all()
        assert not array.flags.writeable


@given(scale=st.floats(1e-3, 1e3), offset=st.floats(-1000, 1000))
def test_scale_and_offset_are_those_of_the_values(scale: float, offset: float) -> None:
    """Mean and deviation lie where the case puts them, up to shifts and factors of order one."""
    x = generate(make(shape="64x5", dtype="float64", x=Inputs(offset=offset, scale=scale)))["x:a"]
    factor = (np.arange(5) + 2) / 4
    deviations = x.std(axis=0) / scale
    assert ((deviations > 0.5 * factor) & (deviations < 1.5 * factor)).all()
    distances = x.mean(axis=0) / (scale * factor) - offset
    assert (np.abs(distances) < 1.7).all()


def test_channels_differ() -> None:
    """No two channels share their mean and deviation."""
    x = generate(make(shape="64x5", dtype="float64"))["x:a"]
    rows = {
        (round(mean, 2), round(deviation, 2)) for mean, deviation in zip(x.mean(0), x.std(0), strict=True)
    }
    assert 5 == len(rows)


def test_values_are_close_to_normal() -> None:
    """Generated values have mean 0, variance 1 and stay within 3.5 of zero."""
    x = np.concatenate(
        [generate(make(shape="64x5", dtype="float64", repeat=40))[f"x:a.{k}"] for k in range(2, 40)]
    )
    z = x / ((np.arange(5) + 2) / 4) - ((np.arange(5) % 3) * 0.75 - 0.5)
    assert abs(z.mean()) < 0.04
    assert abs(z.std() - 1) < 0.03
    assert np.abs(z).max() < 3.5


def test_a_description_makes_the_array() -> None:
    """Two cases with the same description share an array, whatever their ids and other fields."""
    first = generate(make())["x:a"]
    assert first is generate(make(id="g/m", epsilon=1, momentum=0.5))["x:a"]


@pytest.mark.parametrize(
    "change",
    [{"x": Inputs(offset=1)}, {"x": Inputs(scale=2)}, {"shape": "5x3x2x4"}, {"dtype": "float64"}],
    ids=["offset", "scale", "shape", "dtype"],
)
def test_another_description_makes_another_array(change: dict[str, Any]) -> None:
    """Any part of the description changes the numbers that are drawn."""
    first, second = generate(make())["x:a"], generate(make(**change))["x:a"]
    assert not np.isclose(first.ravel()[:12], second.ravel()[:12]).all()


def test_labels_and_repetitions_are_drawn_anew() -> None:
    """Every label, and every repetition of one, has values of its own."""
    arrays = generate(make(steps=(Step(train="a"), Step(train="b")), repeat=2))
    names = ["x:a", "x:b", "x:a.2", "x:b.2"]
    assert names == [name for name in arrays if name.startswith("x:")]
    assert 4 == len({arrays[name].tobytes() for name in names})


def test_upstream_gradients_go_with_their_steps() -> None:
    """Each step that asks for gradients has its own upstream gradient, in the shape of its forward."""
    steps = (
        Step(train="a", name="first"),
        Step(evaluate="z", gradients=("x",), dy="ones"),
        Step(backward="first", gradients=("x",)),
        Step(through_update=("a", "z")),
    )
    arrays = generate(make(steps=steps, inputs={"z": Inputs(shape="1x3x7")}, repeat=2))
    shapes = {name: arrays[name].shape for name in arrays if name.startswith("dy:")}
    one, all_rows = (1, 3, 7), (4, 3, 7)
    expected = {"dy:2": one, "dy:3": all_rows, "dy:4": one, "dy:6": one, "dy:7": all_rows, "dy:8": one}
    assert expected == shapes
    assert (arrays["dy:2"] == 1).all()
    assert arrays["dy:3"].std() > 0.5


def test_constant_channels() -> None:
    """A constant input holds one value per channel, another in each."""
    x = generate(make(x=Inputs(kind="constant", offset=10)))["x:a"]
    values = [np.unique(x[:, c]) for c in range(3)]
    assert [1, 1, 1] == [len(value) for value in values]
    assert 3 == len(np.unique(x))


def test_given_values_are_used() -> None:
    """Values that the case gives are taken in C order."""
    x = generate(make(shape="3x2", x=Inputs(kind="values", values=(1, 2, 3, 4, 5, 6))))["x:a"]
    assert [[1, 2], [3, 4], [5, 6]] == x.tolist()


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("ones", 1, 1), ("zeros", 0, 0), ("negative", -2, -0.5), ("random", -2, 2)],
)
def test_kinds_of_gamma(kind: Any, low: float, high: float) -> None:
    """Gamma lies in the range of its kind; a random one has both signs and is never near zero."""
    gamma = generate(make(gamma=kind))["gamma"]
    assert ((gamma >= low) & (gamma <= high)).all()
    if kind == "random":
        assert {-1, 1} == set(np.sign(gamma))
        assert (np.abs(gamma) >= 0.5).all()


def test_absent_parameters() -> None:
    """A layer without gamma or beta gets none, and one with its own state gets no state."""
    assert {"x:a", "dy:1"} == set(generate(make(gamma="none", beta="none", state="own")))


def test_states() -> None:
    """The initial state is 0 and 1; a random one suits the scale of the values."""
    initial = generate(make(state="initial"))
    assert ([0, 0, 0], [1, 1, 1]) == (initial["running_mean"].tolist(), initial["running_var"].tolist())
    scaled = generate(make(x=Inputs(scale=1e-3, offset=100)))
    assert ((scaled["running_var"] >= 0.5e-6) & (scaled["running_var"] <= 2.0001e-6)).all()
    assert (np.abs(scaled["running_mean"] - scaled["x:a"].mean(axis=(0, 2))) < 6e-3).all()


def test_overflow_is_refused() -> None:
    """A generated value that the dtype cannot hold is a fault of the case."""
    with pytest.raises(CaseError, match="f/n: input x:a overflows float16"):
        generate(make(dtype="float16", x=Inputs(scale=1e6)))


@given(
    memory=st.sampled_from(["contiguous", "strided", "reversed", "channels_last"]),
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    dtype=st.sampled_from(list(DTYPES)),
)
def test_layouts_hold_the_same_values(memory: str, shape: list[int], dtype: str) -> None:
    """A layout changes neither shape nor dtype nor values."""
    x = np.arange(np.prod(shape)).reshape(shape).astype(DTYPES[dtype])
    view = laid_out(x, memory)
    assert (x.shape, x.dtype) == (view.shape, view.dtype)
    assert (x == view).all()


def test_layouts_lie_in_memory_as_named() -> None:
    """The strides are those that the name of the layout promises."""
    x = np.zeros((4, 3, 2, 5), dtype=np.float32)
    assert laid_out(x, "contiguous") is x
    strided = laid_out(x, "strided")
    assert strided.strides[-1] == 2 * x.itemsize
    assert strided.base is not None
    assert np.isnan(strided.base).any()
    assert all(stride < 0 for stride in laid_out(x, "reversed").strides)
    assert np.moveaxis(laid_out(x, "channels_last"), 1, -1).flags.c_contiguous


def test_every_case_has_its_inputs() -> None:
    """Each case of the corpus generates every array that its program asks for."""
    for case in CORPUS:
        arrays = generate(case)
        assert {f"x:{label}" for step in case.program for label in step.labels} <= set(arrays)


def test_the_description_is_canonical() -> None:
    """An integer and a float of the same value describe the same input."""
    data = json.loads('{"offset": 10, "scale": 1}')
    spec = msgspec.convert(data, Inputs, strict=True)
    assert (generate(make(x=Inputs(offset=10.0)))["x:a"] == generate(make(x=spec))["x:a"]).all()
    assert (generate(make(x=Inputs(offset=10)))["x:a"] == generate(make(x=spec))["x:a"]).all()
