"""Sessions: what comes back of a case, and what of adapters with a defect."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np
import pytest

from conformance.adapters.contract import Implementation
from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.observation import Observation, Raised
from conformance.host.session import HostSession

Sessions = Callable[..., HostSession]
Cases = Callable[..., Case]
EVALUATE = [{"evaluate": "a"}]


def observed(session: HostSession, case: Case) -> Observation:
    seen = session.observe(case)
    assert isinstance(seen, Observation), seen
    return seen


@pytest.fixture(params=["process", "in-process"])
def sound(session: Sessions, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> HostSession:
    """Return a session with the adapter that has no defect, in a host and without one."""
    if request.param == "in-process":
        monkeypatch.syspath_prepend(os.environ["PYTHONPATH"])
        monkeypatch.setattr(os, "environ", dict(os.environ))
    return session("Sound", in_process=request.param == "in-process")


def test_implementation(sound: HostSession) -> None:
    """The host says which implementation it holds."""
    expected = Implementation(name="fake", versions={"fake": "1"})
    assert expected == sound.implementation


def test_outcomes(sound: HostSession, case: Cases) -> None:
    """Outcomes carry step and quantity, in the dtype and with the values that the adapter gave."""
    made = case(steps=[{"train": "a", "name": "first"}, {"backward": "first", "gradients": ["x"], "observe": []}])
    seen, arrays = observed(sound, made), generate(made)
    expected = {
        (1, "y"): 2 * arrays["x:a"],
        (1, "running_mean"): arrays["running_mean"] + 1,
        (1, "running_var"): arrays["running_var"],
        (2, "dx"): 2 * arrays["dy:2"],
    }
    assert expected.keys() == seen.outcomes.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(array, seen.outcomes[key], strict=True)
    assert seen.unsupported is None
    assert seen.seconds > 0


def test_views_of_the_state_are_copied(session: Sessions, case: Cases) -> None:
    """A state given as a view of what later steps overwrite is the one of its own step."""
    seen = observed(session("Sound"), case(state="initial", steps=[{"train": "a"}, {"train": "a"}]))
    assert [1.0, 2.0] == [np.asarray(seen.outcomes[step, "running_mean"])[0] for step in (1, 2)]


def test_spoiled_inputs_are_restored(session: Sessions, case: Cases) -> None:
    """A call that overwrites its input spoils it for no later call."""
    made = case(steps=[{"evaluate": "a"}, {"train": "a"}])
    seen = observed(session("SpoilsItsInput"), made)
    np.testing.assert_array_equal(2 * generate(made)["x:a"], np.asarray(seen.outcomes[2, "y"]))


def test_an_error_is_an_outcome(session: Sessions, case: Cases) -> None:
    """A step that raises has its error as outcome, and the steps behind it go on."""
    steps = [
        {"evaluate": "a", "name": "bad", "gradients": ["x"]},
        {"backward": "bad", "gradients": ["x"], "observe": []},
        {"train": "a", "observe": ["y"]},
    ]
    seen = observed(session("RaisesInForward"), case(steps=steps))
    assert Raised("ValueError", "evaluating is not for me") == seen.outcomes[1, "outcome"]
    assert (
        Raised("NoForward", "the forward `bad` failed: there is nothing to go back from") == seen.outcomes[2, "outcome"]
    )
    assert (3, "y") in seen.outcomes


def test_an_error_of_create_is_step_zero(session: Sessions, case: Cases) -> None:
    """A layer that cannot be built is the outcome of step 0, the only one."""
    seen = observed(session("RaisesInCreate"), case())
    assert {(0, "outcome"): Raised("ValueError", "too many channels")} == seen.outcomes


def test_a_lacking_ability_is_told(session: Sessions, case: Cases) -> None:
    """A step that needs a method which the layer lacks says so, by a type of its own."""
    seen = observed(session("Sound"), case(steps=[{"through_update": ["a", "b"]}]))
    assert {
        (1, "outcome"): Raised("Unsupported", "the layer of the adapter has no method through_update")
    } == seen.outcomes


def test_an_exception_called_like_it_is_an_error(session: Sessions, case: Cases) -> None:
    """An implementation's own exception named Unsupported is told with its module, and the state is read after it."""
    raised = observed(session("RaisesForeign"), case(steps=EVALUATE)).outcomes
    assert Raised("fakes.Unsupported", "a break in the graph") == raised[1, "outcome"]
    assert (1, "running_mean") in raised


def test_a_lacking_gradient_is_missing(session: Sessions, case: Cases) -> None:
    """A gradient that the adapter does not give is not made up."""
    seen = observed(session("Sound"), case(steps=[{"train": "a", "gradients": ["x", "gamma"], "observe": []}]))
    assert {(1, "dx")} == set(seen.outcomes)


def test_a_wrong_shape_travels(session: Sessions, case: Cases) -> None:
    """An output of the wrong shape comes back as it is: judging is not the host's."""
    seen = observed(session("WrongShape"), case(steps=EVALUATE))
    assert (3,) == np.asarray(seen.outcomes[1, "y"]).shape


def test_prints_do_not_disturb(session: Sessions, case: Cases) -> None:
    """What an adapter prints, from Python, C or a child, is not taken for an answer."""
    made = case(steps=EVALUATE)
    seen = observed(session("Prints"), made)
    np.testing.assert_array_equal(2 * generate(made)["x:a"], np.asarray(seen.outcomes[1, "y"]))


def test_standard_input_is_empty(session: Sessions, case: Cases) -> None:
    """An adapter that reads standard input finds it empty, and takes nothing from the requests."""
    made = case(steps=EVALUATE)
    seen = observed(session("ReadsStandardInput"), made)
    np.testing.assert_array_equal(2 * generate(made)["x:a"], np.asarray(seen.outcomes[1, "y"]))


def test_without_a_process_the_environment_is_put_back(session: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host's variables were set to for this process is undone when the session is closed."""
    monkeypatch.syspath_prepend(os.environ["PYTHONPATH"])
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("JAX_ENABLE_X64", raising=False)
    before, inside = dict(os.environ), session("Sound", in_process=True)
    inside.implementation  # noqa: B018
    assert before != dict(os.environ)
    inside.close()
    assert before == dict(os.environ)


def test_threads_take_turns(session: Sessions, case: Cases) -> None:
    """Threads that share a session each get the answer to their own case."""
    shared = session("Sound")
    right: list[bool] = []

    def ask(shape: str) -> None:
        made = case(shape=shape, steps=[{"train": "a", "observe": ["y"]}])
        for _ in range(20):
            y = np.asarray(observed(shared, made).outcomes[1, "y"])
            right.append(np.array_equal(2 * generate(made)["x:a"], y))

    threads = [threading.Thread(target=ask, args=(f"{n}x3",)) for n in (2, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [True] * 60 == right


def test_a_closed_session_starts_again(session: Sessions, case: Cases) -> None:
    """A session that was closed answers the next case with another host."""
    one = session("Sound")
    observed(one, case())
    one.close()
    assert (1, "y") in observed(one, case()).outcomes
