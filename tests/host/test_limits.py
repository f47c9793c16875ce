"""How much longer a case may take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.corpus.case import Case
from conformance.corpus.load import load_definitions
from conformance.corpus.work import longer, work
from conformance.host.session import HostSession

Cases = Callable[..., Case]

NETWORK = "scenarios/networks/of-the-thread[dtype=float64]"


def test_only_the_network_of_the_thread_has_more_than_the_limit() -> None:
    """Of the suite's own cases, large ones among them, one takes more operations than a limit is made for."""
    corpus = [case for definition in load_definitions() for case in definition.cases]
    assert {NETWORK: 11} == {case.id: round(longer(case)) for case in corpus if longer(case) > 1}


def test_work_grows_with_the_calls(case: Cases) -> None:
    """A convergence of twice the steps is about twice the work."""
    once, twice = (work(case(steps=[{"converge": "a", "times": times, "every": 10}])) for times in (100, 200))
    assert twice / once == pytest.approx(2, rel=0.01)


def test_a_step_that_calls_nothing_is_no_work(case: Cases) -> None:
    """Saving and restoring a state takes no operations of the layer."""
    alone, saved = case(steps=[{"train": "a"}]), case(steps=[{"train": "a"}, {"save": "s"}, {"restore": "s"}])
    assert work(alone) == work(saved)


def test_the_host_has_as_long_as_the_case_needs(monkeypatch: pytest.MonkeyPatch, case: Cases) -> None:
    """The limit of a session is multiplied by what the case is given."""
    limits: list[float] = []
    with HostSession("numpy", time_limit=7, in_process=True) as session:
        host = session._keeper.running()
        answer = host.request
        monkeypatch.setattr(host, "request", lambda frame, limit: limits.append(limit) or answer(frame))
        session.observe(case())
        monkeypatch.setattr("conformance.host.session.longer", lambda _: 3.0)
        session.observe(case())
    assert [7, 21] == limits
