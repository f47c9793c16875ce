"""What is recorded of MXNet is MXNet's: shown with plain NumPy, in its environment of `make matrix`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.configuration import load_hosts
from conformance.host.observation import Observation
from conformance.host.session import HostSession

PYTHON = Path(__file__).parents[2] / ".matrix" / "mxnet-1.9.1" / "bin" / "python"
GRADIENTS = ["x", "gamma", "beta"]
#: MXNet's operator has the weight of the old state as a float32 number.
KEPT = float(np.float32(0.7))


@pytest.fixture(scope="module", params=["mxnet", "mxnet:graph"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostSession]:
    if not PYTHON.exists():
        pytest.skip('make matrix MATRIX_ARGS="--only mxnet-1.9.1" makes its environment')
    file = tmp_path_factory.mktemp("hosts") / "hosts.yaml"
    file.write_text(f"implementations: {{old: {{python: {PYTHON}, adapter: '{request.param}'}}}}", "utf-8")
    with HostSession("old", host=load_hosts(file)["old"]) as opened:
        yield opened


def asked(session: HostSession, steps: list[dict[str, Any]], **changes: Any) -> tuple[Observation, Mapping[str, Any]]:
    plain = {"id": "made/up", "fact": "It is made up.", "clauses": ["1.1"], "shape": "5x3", "dtype": "float64"}
    made = msgspec.convert({**plain, "momentum": 0.3, "steps": steps, **changes}, Case)
    seen = session.observe(made)
    assert isinstance(seen, Observation), seen
    return seen, generate(made)


def blended(given: Mapping[str, Any], times: int) -> tuple[Any, Any]:
    """Return the running statistics after so many updates with one batch."""
    mean, var = given["running_mean"], given["running_var"]
    for _ in range(times):
        mean = KEPT * mean + (1 - KEPT) * given["x:a"].mean(0)
        var = KEPT * var + (1 - KEPT) * given["x:a"].var(0)
    return mean, var


def test_a_training_call_alone_leaves_the_state(session: HostSession) -> None:
    """After a training call whose gradients nobody has taken the state is what it was, bit for bit."""
    seen, given = asked(session, [{"train": "a"}])
    np.testing.assert_array_equal(given["running_mean"], seen.outcomes[1, "running_mean"])
    np.testing.assert_array_equal(given["running_var"], seen.outcomes[1, "running_var"])


def test_each_backward_moves_the_state(session: HostSession) -> None:
    """Every backward of a training call blends the batch in: the second of one call, too."""
    steps = [{"train": "a", "name": "first"}, *[{"backward": "first", "gradients": GRADIENTS}] * 3]
    seen, given = asked(session, steps)
    for times in (1, 2, 3):
        mean, var = blended(given, times)
        np.testing.assert_allclose(seen.outcomes[1 + times, "running_mean"], mean, rtol=1e-13)
        np.testing.assert_allclose(seen.outcomes[1 + times, "running_var"], var, rtol=1e-12)


def test_a_block_that_was_loaded_in_between_stays(session: HostSession) -> None:
    """The backward moves the state of the block that was called, not of the one that has loaded it since."""
    steps = [{"train": "a", "name": "first"}, {"reload": True}, {"backward": "first", "gradients": GRADIENTS}]
    seen, given = asked(session, steps)
    np.testing.assert_array_equal(given["running_mean"], seen.outcomes[3, "running_mean"])
    np.testing.assert_array_equal(given["running_var"], seen.outcomes[3, "running_var"])


def test_the_running_variance_is_taken_from_the_root(session: HostSession) -> None:
    """The state is 1 / (1/s)^2 - epsilon bit for bit: of a variance of 1e-13 beside 0.5 three digits are left."""
    fields = {"epsilon": 0.5, "momentum": 1.0, "x": {"scale": 1e-6}}
    seen, given = asked(session, [{"train": "a", "gradients": ["x"]}], **fields)
    var, found = given["x:a"].var(0), seen.outcomes[1, "running_var"]
    inverse = 1 / np.sqrt(var + 0.5)
    np.testing.assert_array_equal(1 / (inverse * inverse) - 0.5, found)
    assert (np.abs(np.asarray(found) - var) > 1e-5 * var).all()


@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_float16_is_rounded_at_every_step(session: HostSession, mode: str) -> None:
    """Of float16 input each operation on it is rounded to float16, bit for bit; the statistics are float32."""
    seen, given = asked(session, [{mode: "a"}], dtype="float16", shape="64x5")
    x, gamma, beta = (given[name].astype(np.float32) for name in ("x:a", "gamma", "beta"))
    mean, var = (x.mean(0), x.var(0)) if mode == "train" else (given["running_mean"], given["running_var"])
    inverse = 1 / np.sqrt(half(var + half(np.float32(1e-3))))
    y = half(half(half(half(x - mean) * inverse) * gamma) + beta)
    found = np.asarray(seen.outcomes[1, "y"])
    assert 0.99 < np.mean(found == y)  # the order of a sum may turn the rounding of a mean
    assert 0.9 > np.mean(found == half((x - mean) / np.sqrt(var + np.float32(1e-3)) * gamma + beta))


@pytest.mark.parametrize(("epsilon", "finite"), [(1e-8, False), (1e-7, True)])
def test_an_epsilon_that_float16_lacks_is_zero(session: HostSession, epsilon: float, finite: bool) -> None:
    """Of float16 input a constant channel is normalised by 0 / 0 where epsilon rounds to no number of float16."""
    seen, given = asked(session, [{"train": "a"}], dtype="float16", epsilon=epsilon, x={"kind": "constant"})
    expected = np.broadcast_to(half(given["beta"]) if finite else np.float32("nan"), (5, 3))
    np.testing.assert_array_equal(expected, seen.outcomes[1, "y"])


def test_a_variance_beyond_float16_is_infinite(session: HostSession) -> None:
    """Of float16 input a variance above 65,520 is infinite beside epsilon, and the output is beta."""
    seen, given = asked(session, [{"train": "a"}], dtype="float16", x={"scale": 4000})
    assert (given["x:a"].astype(float).var(0) > 65520).all()
    np.testing.assert_array_equal(np.broadcast_to(half(given["beta"]), (5, 3)), seen.outcomes[1, "y"])


def half(value: Any) -> Any:
    """Return numbers rounded to float16, as float32."""
    return np.asarray(value).astype(np.float16).astype(np.float32)


def test_the_gradient_context_chooses_the_mode(session: HostSession) -> None:
    """A call trains where a gradient is taken and evaluates elsewhere, if nobody says otherwise."""
    seen, given = asked(session, [{"automatic": "a"}, {"automatic": "a", "gradients": GRADIENTS}])
    x, scale, shift = given["x:a"], given["gamma"], given["beta"]
    for step, mean, var in ((1, given["running_mean"], given["running_var"]), (2, x.mean(0), x.var(0))):
        expected = scale * (x - mean) / np.sqrt(var + 1e-3) + shift
        np.testing.assert_allclose(seen.outcomes[step, "y"], expected, rtol=1e-10)


def replicas(session: HostSession, **changes: Any) -> tuple[Observation, Any, Any]:
    """Ask two replicas with a momentum of 1; return what was seen, and the rows of either."""
    step = {"replicas": ["a", "b"], "gradients": GRADIENTS}
    seen, given = asked(session, [step], dtype="float32", momentum=1.0, **changes)
    return seen, given["x:a"], given["x:b"]


def test_replicas_share_the_mean_of_their_moments(session: HostSession) -> None:
    """Two replicas have the variance avg(x^2) - mean^2 in float32, which is far from theirs where the mean is large."""
    seen, *parts = replicas(session, x={"offset": 3000})
    mean, square = (np.mean([one.mean(0) for one in group], axis=0) for group in (parts, [one * one for one in parts]))
    found, exact = seen.outcomes[1, "running_var"], np.concatenate(parts).astype(np.float64).var(0)
    one_pass = (square - mean * mean).astype(np.float64)
    assert (np.abs(exact - found) > 0.01 * exact).all()
    # Sums in another order round otherwise: by a few units of the squares, of which the variance is a difference.
    assert (np.abs(one_pass - found) <= 4 * np.spacing(square)).all()


def test_replicas_of_different_sizes_weigh_the_same(session: HostSession) -> None:
    """The shared mean is that of the replicas' means, however many rows each has: they are declared of one size."""
    seen, *parts = replicas(session, inputs={"b": {"shape": "2x3"}})
    assert "of one size" in str(seen.unsupported)
    means = [one.astype(np.float64).mean(0) for one in parts]
    np.testing.assert_allclose(seen.outcomes[1, "running_mean"], (means[0] + means[1]) / 2, rtol=1e-5)


def test_exported_in_train_it_evaluates(session: HostSession) -> None:
    """What is exported from a block that was called in train normalises with the running statistics."""
    seen, given = asked(session, [{"train": "a", "exported": True, "observe": ["y"]}])
    spread = np.sqrt(given["running_var"] + 1e-3)
    expected = given["gamma"] * (given["x:a"] - given["running_mean"]) / spread + given["beta"]
    np.testing.assert_allclose(seen.outcomes[1, "y"], expected, rtol=1e-6, atol=1e-6)
