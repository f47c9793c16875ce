"""Why Keras 2.1.3 to 2.2.4 are not asked to train on after loading: shown with NumPy, each in its environment."""

from __future__ import annotations

from collections.abc import Iterator
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

ENVIRONMENTS = Path(__file__).parents[2] / ".matrix"
CALLS: list[dict[str, Any]] = [{"train": "a"}, {"train": "b"}]


@pytest.fixture(scope="module", params=["2.1.3", "2.1.4", "2.2.4"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostSession]:
    python = ENVIRONMENTS / f"keras-{request.param}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f'make matrix MATRIX_ARGS="--only keras-{request.param}" makes its environment')
    file = tmp_path_factory.mktemp("hosts") / "hosts.yaml"
    file.write_text(
        f"implementations: {{old: {{python: {python}, adapter: 'conformance.adapters.keras_2:Adapter'}}}}", "utf-8"
    )
    with HostSession("old", host=load_hosts(file)["old"]) as opened:
        yield opened


def means(session: HostSession, *steps: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return the last running mean, and the means of the two batches."""
    made = msgspec.convert(
        {"id": "made/up", "fact": "It is made up.", "clauses": ["1.1"], "shape": "5x3", "steps": steps}, Case
    )
    seen, given = session.observe(made), generate(made)
    assert isinstance(seen, Observation), seen
    return seen.outcomes[len(steps), "running_mean"], given["x:a"].mean(0), given["x:b"].mean(0)


def test_two_batches_are_averaged(session: HostSession) -> None:
    """With a momentum of 0.9 the second batch has a weight of 0.1 / (1 - 0.81)."""
    found, first, second = means(session, *CALLS)
    np.testing.assert_allclose(found, (0.9 * first + second) / 1.9, rtol=1e-5, atol=1e-6)


def test_the_first_batch_after_loading_replaces_them(session: HostSession) -> None:
    """After loading, the running mean is that of one batch: the sum and the count were not saved."""
    found, _, second = means(session, CALLS[0], {"reload": True}, CALLS[1])
    np.testing.assert_allclose(found, second, rtol=1e-5, atol=1e-6)


def test_a_state_that_is_put_back_has_them(session: HostSession) -> None:
    """Put back with what it is made from, the state goes on as if nothing had been between."""
    found, first, second = means(session, CALLS[0], {"save": "once"}, CALLS[1], {"restore": "once"}, CALLS[1])
    np.testing.assert_allclose(found, (0.9 * first + second) / 1.9, rtol=1e-5, atol=1e-6)
