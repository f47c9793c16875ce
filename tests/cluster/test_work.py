"""What a worker of a cluster keeps: the hosts of those who are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conformance.cluster import work
from conformance.cluster.messages import Begin, Begun, decode, encode

FAKES = Path(__file__).parents[1] / "fakes"


def begin(token: str, asker: str, present: tuple[str, ...], suite: str = work.__version__) -> Begun:
    asked = Begin(adapter="third_party:Sound", suite=suite, time_limit=60, memory_limit=2**33, asker=asker,
                  present=present)  # fmt: skip
    begun: Begun = decode(work.begin(token, encode(asked)), Begun)
    return begun


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKES), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(work, "_sessions", {})


@pytest.mark.parametrize(("grace", "left"), [(-1.0, ["2", "3"]), (60.0, ["1", "2", "3"])], ids=["idle", "just used"])
def test_hosts_of_whoever_is_gone_are_ended(monkeypatch: pytest.MonkeyPatch, grace: float, left: list[str]) -> None:
    """A killed controller leaves hosts until another begins some time after; those of others who are there stay."""
    monkeypatch.setattr(work, "_GRACE", grace)
    for token, asker in {"1": "killed", "2": "there"}.items():
        assert begin(token, asker, ("killed", "there")).implementation is not None
    forgotten = work._sessions["1"].session
    begin("3", "resumed", ("there", "resumed"))
    assert left == list(work._sessions)
    assert ("1" in left) == (forgotten._keeper.channel is not None)
    for token in left:
        work.end(token)


def test_another_version_of_the_suite_is_refused() -> None:
    """A worker that has another version than the asker says so, and starts nothing."""
    begun = begin("1", "me", ("me",), suite="0.0")
    assert begun.error.endswith("the run is of 0.0")
    assert {} == work._sessions
