"""The adapters of frameworks: what each declares is proved by figures that no part of the suite computed.

Each runs in a host of its own; one whose framework is not installed is skipped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.adapters import registry
from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.environment import host_environment
from conformance.host.observation import Observation, Raised
from conformance.host.session import HostSession

ADAPTERS = ["numpy", "torch", "keras-tensorflow", "flax-linen"]
#: Of the channel values 1, 3, 5, from variance 1, momentum 0.1.
SAMPLE, POPULATION = 1.3, 1 + 1 / 6
PROBE = {"kind": "values", "values": [1, 3, 5], "shape": "3x1"}
STATE = ["running_mean", "running_var"]


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ADAPTERS])
def session(request: pytest.FixtureRequest) -> Iterator[HostSession]:
    if request.param in (missing := registry.missing()):
        pytest.skip(f"{request.param} is not installed: {missing[request.param]}")
    with HostSession(request.param, time_limit=120) as one:
        yield one


def asked(session: HostSession, steps: list[dict[str, Any]], **changes: Any) -> tuple[Observation, Case]:
    made = msgspec.convert(
        {"id": "made/up", "fact": "Made up.", "clauses": ["1.1"], "dtype": "float64", "steps": steps, **changes}, Case
    )
    seen = session.observe(made)
    assert isinstance(seen, Observation), seen
    return seen, made


def array(seen: Observation, step: int, name: str) -> np.ndarray[Any, Any]:
    outcome = seen.outcomes.get((step, name), seen.outcomes.get((step, "outcome")))
    assert isinstance(outcome, np.ndarray), outcome
    return outcome


def test_versions_name_the_column(session: HostSession) -> None:
    """The id of a column has the version of the framework that its name stands for."""
    who = session.implementation
    first = {"torch": "torch", "keras-tensorflow": "keras", "flax-linen": "flax", "numpy": "numpy"}[who.name]
    assert first == next(iter(who.versions))
    assert f"{who.name}@{who.versions[first]}:eager:cpu" == who.id


def test_estimator_is_the_declared_one(session: HostSession) -> None:
    """The running variance after 1, 3, 5 is 1.3 with the sample variance, 1.1667 with the population's."""
    seen, _ = asked(session, [{"train": "a"}], x=PROBE, shape="3x1", state="initial")
    expected = {"sample": SAMPLE, "population": POPULATION}[seen.dialect.running_variance]
    np.testing.assert_allclose(array(seen, 1, "running_mean"), 0.3, rtol=1e-6)
    np.testing.assert_allclose(array(seen, 1, "running_var"), expected, rtol=1e-6)


def test_statistics_gradient_is_the_declared_one(session: HostSession) -> None:
    """The gradient with respect to the running mean in evaluate is -gamma/s sum(dy), or refused, as declared."""
    seen, made = asked(session, [{"evaluate": "a", "gradients": STATE, "observe": []}])
    given = generate(made)
    slope = given["gamma"] / np.sqrt(given["running_var"] + made.epsilon)
    option = seen.dialect.statistics_gradient
    if option == "refused":
        outcome = seen.outcomes[1, "outcome"]
        assert isinstance(outcome, Raised)
        assert "not differentiable with respect to argument 'running_mean'" in outcome.message
    else:
        assert option == "leaf"
        np.testing.assert_allclose(array(seen, 1, "drunning_mean"), -slope * given["dy:1"].sum((0, 2)), rtol=1e-12)


def test_statistics_have_no_gradient_in_train(session: HostSession) -> None:
    """In train the output does not depend on the running statistics: zero, or refused where evaluate is."""
    seen, _ = asked(session, [{"train": "a", "gradients": STATE, "observe": STATE}])
    if seen.dialect.statistics_gradient == "refused":
        assert isinstance(seen.outcomes[1, "outcome"], Raised)
    else:
        assert not array(seen, 1, "drunning_mean").any()
        assert not array(seen, 1, "drunning_var").any()


def test_asking_for_a_gradient_moves_nothing(session: HostSession) -> None:
    """A gradient asked for after a training forward leaves state and later outputs as they are."""
    plain, _ = asked(session, [{"train": "a"}, {"evaluate": "b"}])
    asking, _ = asked(session, [{"train": "a", "gradients": ["x", *STATE]}, {"evaluate": "b"}])
    for key in ((1, "running_mean"), (1, "running_var"), (2, "y"), (2, "running_mean")):
        np.testing.assert_array_equal(array(plain, *key), array(asking, *key), strict=True)


def test_update_gradient_is_the_declared_one(session: HostSession) -> None:
    """Through the update flows nothing, or what a central difference of the outputs shows, as declared."""
    seen, made = asked(session, [{"through_update": ["a", "b"]}], shape="4x2")
    got = array(seen, 1, "dx_earlier")
    if seen.dialect.update_gradient == "detached":
        assert not got.any()
        return
    given, h, index = generate(made), 1e-5, (1, 0)
    ends = []
    for shift in (h, -h):
        moved = given["x:a"].copy()
        moved[index] += shift
        inputs = {"a": {"kind": "values", "values": moved.ravel().tolist(), "shape": "4x2"}}
        later, _ = asked(session, [{"train": "a"}, {"evaluate": "b"}], shape="4x2", inputs=inputs)
        ends.append(float((array(later, 2, "y") * given["dy:1"]).sum()))
    np.testing.assert_allclose(got[index], (ends[0] - ends[1]) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("memory", ["contiguous", "strided", "reversed", "channels_last"])
@pytest.mark.parametrize("shape", ["5x3", "2x3x7", "5x3x2x4", "2x3x2x4x5"])
@pytest.mark.parametrize("channel_axis", ["native", "second", "last"])
def test_layouts(session: HostSession, memory: str, shape: str, channel_axis: str) -> None:
    """In any rank, memory order and place of the channels, y is the formula, canonical, or the axis is refused."""
    seen, made = asked(
        session, [{"train": "a", "gradients": ["x", "gamma", "beta"]}], shape=shape, memory=memory,
        channel_axis=channel_axis,
    )  # fmt: skip
    if seen.unsupported is not None:
        assert (session.implementation.name, channel_axis) == ("torch", "last")
        assert isinstance(seen.outcomes[1, "outcome"], Raised)
        return
    given, axes = generate(made), (0, *range(2, made.layer.rank))
    x, column = given["x:a"], (-1, *(1,) * (made.layer.rank - 2))
    xhat = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + made.epsilon)
    y = given["gamma"].reshape(column) * xhat + given["beta"].reshape(column)
    np.testing.assert_allclose(array(seen, 1, "y"), y, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(array(seen, 1, "dbeta"), given["dy:1"].sum(axes), rtol=1e-10)
    np.testing.assert_allclose(array(seen, 1, "dgamma"), (given["dy:1"] * xhat).sum(axes), rtol=1e-8)
    np.testing.assert_allclose(array(seen, 1, "dx").sum(axes), 0, atol=1e-11)


@pytest.mark.parametrize(("gamma", "beta"), [("random", "none"), ("none", "random"), ("none", "none")])
def test_affine_singly(session: HostSession, gamma: str, beta: str) -> None:
    """A layer has gamma and beta one by one: it has gradients for those that it has, and the output shows it."""
    have = [name for name, kind in (("gamma", gamma), ("beta", beta)) if kind != "none"]
    seen, made = asked(session, [{"evaluate": "a", "gradients": ["x", *have]}], gamma=gamma, beta=beta)
    given = generate(made)
    rows = {name: given.get(name, default).reshape(-1, 1) for name, default in _DEFAULTS.items()}
    expected = (given["x:a"] - rows["running_mean"]) / np.sqrt(rows["running_var"] + made.epsilon)
    np.testing.assert_allclose(array(seen, 1, "y"), rows["gamma"] * expected + rows["beta"], rtol=1e-10, atol=1e-12)
    assert {"dx", *(f"d{name}" for name in have)} <= {name for _, name in seen.outcomes}


_DEFAULTS = {"gamma": np.ones(3), "beta": np.zeros(3), "running_mean": np.zeros(3), "running_var": np.ones(3)}


def test_replicas_of_different_sizes_are_one_batch(session: HostSession) -> None:
    """Five rows beside two train as the seven rows together, where replicas can be had of such sizes."""
    seen, made = asked(session, [{"replicas": ["a", "b"]}], shape="5x3", inputs={"b": {"shape": "2x3"}})
    if seen.unsupported is not None:
        assert session.implementation.name in ("torch", "flax-linen")
        return
    given = generate(made)
    rows = np.concatenate([given["x:a"], given["x:b"]])
    expected = given["gamma"] * (rows - rows.mean(0)) / np.sqrt(rows.var(0) + made.epsilon) + given["beta"]
    np.testing.assert_allclose(array(seen, 1, "y"), expected, rtol=1e-12, atol=1e-12)


def test_a_backward_can_be_repeated(session: HostSession) -> None:
    """A gradient asked for twice is the same, also after a forward in between."""
    back = {"backward": "one", "gradients": ["x", "gamma"], "observe": []}
    seen, _ = asked(
        session, [{"train": "a", "name": "one"}, {**back, "dy": "ones"}, {"train": "b"}, {**back, "dy": "ones"}]
    )
    for name in ("dx", "dgamma"):
        np.testing.assert_array_equal(array(seen, 2, name), array(seen, 4, name), strict=True)


def test_cumulative_momentum(session: HostSession) -> None:
    """Without a momentum the state is the plain average, or the adapter says that there is none and it fails."""
    seen, made = asked(session, [{"train": "a"}, {"train": "b"}], momentum="cumulative")
    if seen.unsupported is not None:
        assert session.implementation.name in ("keras-tensorflow", "flax-linen")
        assert any(isinstance(outcome, Raised) for outcome in seen.outcomes.values())
        return
    given = generate(made)
    average = (given["x:a"].mean((0, 2)) + given["x:b"].mean((0, 2))) / 2
    np.testing.assert_allclose(array(seen, 2, "running_mean"), average, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(session: HostSession, dtype: str) -> None:
    """Outputs have the dtype of the layer; the state is at least single."""
    seen, _ = asked(session, [{"train": "a", "gradients": ["x"]}], dtype=dtype)
    assert dtype == array(seen, 1, "y").dtype.name
    assert array(seen, 1, "running_var").dtype.itemsize >= 4


_SET_STATE = """
import sys
import numpy as np
from conformance.adapters.registry import find, load
from conformance.corpus.case import Case, Step
case = Case(id="a/b", fact="F.", clauses=("1.1",), steps=(Step(train="a"),), shape="4x2", beta="none")
layer = load(find(sys.argv[1])).create(case.layer, {"gamma": np.full(2, 3, np.float32)})
layer.set_state({"running_mean": np.full(2, 2, np.float32), "running_var": np.full(2, 4, np.float32)})
state = layer.get_state()
print(*state["running_mean"], *state["running_var"], layer.forward(np.full((1, 2), 4, np.float32), "evaluate").y.max())
"""


def test_set_state_overwrites(session: HostSession, tmp_path: Path) -> None:
    """A state that is set is the one that is got and used; parameters that it does not name stay."""
    done = subprocess.run(
        [sys.executable, "-c", _SET_STATE, session.adapter], env=host_environment("cpu", tmp_path),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = [2, 2, 4, 4, 3 * (4 - 2) / (4 + 1e-3) ** 0.5]
    np.testing.assert_allclose([float(number) for number in done.stdout.split()], expected, rtol=1e-6)
