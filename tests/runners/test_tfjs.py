"""The host for TensorFlow.js: it answers as the definition says, and what it declares lacking is lacking."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.engine.cell import cell_of
from conformance.host.configuration import load_hosts
from conformance.host.observation import Observation
from conformance.host.session import HostSession

RUNNER = Path(__file__).parents[2] / "runners" / "tfjs"
HOSTS = load_hosts(RUNNER / "hosts.yaml")

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (RUNNER / "node_modules").is_dir(), reason="npm install --no-package-lock --prefix runners/tfjs"
    ),
    pytest.mark.xdist_group("tfjs"),
]


@pytest.fixture(scope="module", params=HOSTS)
def session(request: pytest.FixtureRequest) -> Iterator[HostSession]:
    with HostSession(request.param, host=HOSTS[request.param]) as opened:
        yield opened


def case(**changes: Any) -> Case:
    plain = {"id": "made/up", "fact": "It is made up.", "clauses": ["1.1"], "shape": "4x3x7", "steps": [{"train": "a"}]}
    return msgspec.convert({**plain, **changes}, Case)


def observed(session: HostSession, asked: Case) -> Observation:
    seen = session.observe(asked)
    assert isinstance(seen, Observation)
    return seen


# what is asked, the verdict
ASKED = {
    "training": ({"steps": [{"train": "a", "gradients": ["x", "gamma", "beta"]}]}, "deviates"),
    "evaluating": ({"steps": [{"evaluate": "a", "gradients": ["x", "gamma", "beta"]}]}, "agrees"),
    "second derivatives": ({"steps": [{"train": "a", "hvp": ["x", "gamma"]}], "clauses": ["9.1"]}, "agrees"),
    "a copy that was saved": ({"steps": [{"reload": True}, {"evaluate": "a"}]}, "agrees"),
    "a state that was kept": ({"steps": [{"train": "a"}, {"save": "s"}, {"train": "b"}, {"restore": "s"}]}, "deviates"),
    "the average of two states": (
        {"steps": [{"train": "a"}, {"save": "s"}, {"train": "b"}, {"save": "t"}, {"average": ["s", "t"]}]}, "deviates",
    ),
    "convergence": ({"steps": [{"converge": "a", "times": 20, "every": 5}], "clauses": ["21.1"]}, "deviates"),
    "a mode left open": ({"steps": [{"automatic": "a"}]}, "unsupported"),
    "a network": (
        {"shape": "5x3", "state": "initial", "network": {"blocks": 1, "width": 3, "outputs": 2}}, "unsupported",
    ),
    "float64": ({"dtype": "float64"}, "unsupported"),
    "five dimensions": ({"shape": "3x2x2x3x2"}, "unsupported"),
    "without gamma": ({"gamma": "none"}, "unsupported"),
    "evaluating without gamma": ({"gamma": "none", "steps": [{"evaluate": "a"}]}, "agrees"),
    "its gradient without gamma": ({"gamma": "none", "steps": [{"evaluate": "a", "gradients": ["x"]}]}, "unsupported"),
}


@pytest.mark.parametrize(("changes", "verdict"), ASKED.values(), ids=ASKED)
def test_verdicts(session: HostSession, changes: dict[str, Any], verdict: str) -> None:
    """What it does is judged as declared: its running variance is the population one; what it lacks fails."""
    assert verdict == cell_of(case(**changes), session).row.verdict


def test_it_says_who_it_is(session: HostSession) -> None:
    """Each backend is an execution of one implementation, with the versions of library and Node."""
    who = session.implementation
    assert ("tfjs", ["tfjs", "node"]) == (who.name, list(who.versions))
    assert who.execution == {"cpu": "js", "wasm": "wasm"}[who.settings["backend"]]


def test_axis_1_takes_the_wrong_statistics(session: HostSession) -> None:
    """With axis 1 an evaluation runs through the channels element by element, whichever they belong to."""
    asked = case(channel_axis="second", steps=[{"evaluate": "a"}])
    given = generate(asked)
    y = observed(session, asked).outcomes[1, "y"]
    flat = np.asarray(given["x:a"], np.float64).reshape(-1)
    names = ("running_mean", "running_var", "gamma", "beta")
    mean, var, gamma, beta = (np.resize(given[name].astype(np.float64), flat.size) for name in names)
    cyclic = (gamma * (flat - mean) / np.sqrt(var + asked.layer.epsilon) + beta).reshape(given["x:a"].shape)
    np.testing.assert_allclose(np.asarray(y), cyclic, rtol=1e-5, atol=1e-5)
    assert "unsupported" == cell_of(asked, session).row.verdict
