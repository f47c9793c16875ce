"""Sessions: what comes back of a case, and what of adapters with a defect."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters.contract import Implementation
from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.errors import AdapterError, HostError, UnstartedError
from conformance.host.configuration import ConfiguredHost
from conformance.host.observation import Crashed, Faulty, Observation, Raised
from conformance.host.patience import IN_A_ROW
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


CRASHES = [
    ("Exits", "ended with exit status 7"),
    ("Exits", "that was all"),
    ("Segfaults", "was killed by SIGSEGV"),
    ("NeverReturns", "no answer within the time limit of 1 s"),
]


@pytest.mark.parametrize(("fake", "reason"), CRASHES, ids=[" ".join(entry) for entry in CRASHES])
def test_a_crash_is_isolated(session: Sessions, case: Cases, fake: str, reason: str) -> None:
    """A host that dies or hangs costs its own case only: the next one is answered by another."""
    fragile = session(fake, time_limit=1)
    seen = fragile.observe(case(steps=EVALUATE))
    assert isinstance(seen, Crashed)
    assert reason in seen.reason
    assert (1, "y") in observed(fragile, case()).outcomes


def test_a_host_that_does_not_start_again(
    session: Sessions, case: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case that it was to be asked is void, not crashed; after so many in a row nothing more is started."""
    fragile, tries = session("Exits"), []

    def refuse() -> None:
        tries.append(1)
        raise HostError("no more processes")

    assert isinstance(fragile.observe(case(steps=EVALUATE)), Crashed)
    monkeypatch.setattr(fragile._keeper, "_start", refuse)
    monkeypatch.setattr("conformance.host.patience.LOST", 0.0)
    seen = [fragile.observe(case()) for _ in range(IN_A_ROW + 5)]
    assert Faulty("the host does not start again: no more processes") == seen[0]
    assert all(isinstance(one, Faulty) for one in seen)
    assert len(tries) < IN_A_ROW
    assert Faulty("not asked: the host did not start again for any of the 10 that were asked last") == seen[-1]


def test_an_aborted_session_starts_nothing(session: Sessions) -> None:
    """Nothing is started after an abort, be it the first time."""
    aborted = session("Sound")
    aborted.abort()
    with pytest.raises(UnstartedError, match="aborted"):
        aborted.implementation  # noqa: B018


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


def test_a_time_out_leaves_no_process_behind(session: Sessions, case: Cases) -> None:
    """What a hanging host had started is killed with it."""
    fragile = session("NeverReturns", time_limit=1)
    assert isinstance(fragile.observe(case(steps=EVALUATE)), Crashed)
    deadline = time.monotonic() + 5
    while (left := _processes("left behind by a fake")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [] == left


def _processes(mark: str) -> list[bytes]:
    """Return the command lines with the mark in them; a process that has ended has none."""
    found: list[bytes] = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(command.read_bytes())
    return [line for line in found if mark.encode() in line]


FAULTS = [
    ("RaisesInDialect", "dialect_for failed: RuntimeError: no idea (raised at "),
    ("RaisesInUnsupported", "unsupported failed: RuntimeError: no idea (raised at "),
    ("WrongType", "answer failed: HostError: 1:y has dtype object, which cannot travel"),
]


@pytest.mark.parametrize(("fake", "reason"), FAULTS, ids=[entry[0] for entry in FAULTS])
def test_a_fault_of_the_adapter_is_void(session: Sessions, case: Cases, fake: str, reason: str) -> None:
    """What can only be the adapter's own fault is told as such, and where it happened."""
    seen = session(fake).observe(case(steps=EVALUATE))
    assert isinstance(seen, Faulty)
    assert reason in seen.reason


REFUSALS = [
    ("fakes:RaisesInDescribe", "describe failed: RuntimeError: who am I? (raised at "),
    ("fakes:RefusesToBeBuilt", "import failed: RuntimeError: no licence"),
    ("fakes:NoSuchClass", "import failed: AdapterError: module fakes has no NoSuchClass"),
    ("fakes:NotAnAdapter", "import failed: AdapterError: fakes:NotAnAdapter is not an adapter"),
    ("no_such_module:Adapter", "import failed: ModuleNotFoundError: No module named 'no_such_module'"),
    ("raises_at_import:Adapter", "import failed: OSError: libfancy.so: cannot open"),
    ("exits_at_import:Adapter", "the host does not start: the host ended with exit status 3"),
]


@pytest.mark.parametrize(("adapter", "message"), REFUSALS, ids=[entry[0] for entry in REFUSALS])
@pytest.mark.usefixtures("session")
def test_a_failed_start_is_one_message(case: Cases, adapter: str, message: str) -> None:
    """An adapter that does not start says why, the same for its name and for every case."""
    with HostSession(adapter) as broken:
        with pytest.raises(AdapterError, match="hint: ") as first:
            assert broken.implementation
        with pytest.raises(AdapterError) as second:
            broken.observe(case())
    assert f"adapter {adapter}: {message}" in str(first.value)
    assert str(first.value) == str(second.value)


def test_a_start_has_its_own_limit(session: Sessions) -> None:
    """A host that does not get ready in time is reported, not waited for."""
    with pytest.raises(AdapterError, match=r"does not start: no answer within the time limit of 0\.01 s"):
        assert session("Sound", start_limit=0.01).implementation


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


FOREIGN = [
    ("print('Loading model, please wait...', flush=True)", "not a message: it starts with b'Loading '"),
    ("import sys; sys.stdout.buffer.write(frame('{\"nonsense\": 1}')); sys.stdout.flush()", "malformed answer"),
]
_FRAME = """
import json, time
def frame(message):
    header = json.dumps({"__metadata__": {"message": message}}).encode()
    return len(header).to_bytes(8, "little") + header
"""


@pytest.mark.parametrize(("script", "message"), FOREIGN, ids=["banner", "unknown answer"])
def test_a_foreign_host_is_held_to_the_protocol(script: str, message: str) -> None:
    """A host in another program that answers with something else is refused with what it sent."""
    command = ("python3", "-c", f"{_FRAME}\n{script}\ntime.sleep(60)")
    host = ConfiguredHost(name="mine", command=command, place="hosts.yaml:1", directory=Path.cwd())
    with HostSession("mine", host=host) as foreign, pytest.raises(AdapterError) as refusal:
        assert foreign.implementation
    assert message in str(refusal.value)


def test_quick_crashes_are_all_asked_for(session: Sessions, case: Cases) -> None:
    """However many cases in a row take the host down, each is asked, and what lies behind them is answered."""
    dying = session("Exits")
    seen = [dying.observe(case(steps=EVALUATE)) for _ in range(IN_A_ROW + 2)]
    assert {True} == {isinstance(one, Crashed) and "took its host down" in one.reason for one in seen}
    assert isinstance(dying.observe(case()), Observation)


def test_patience_ends(session: Sessions, case: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where crashes in a row took long, ten cases are left out before one is asked again, which may be answered."""
    monkeypatch.setattr("conformance.host.patience.LOST", 0.0)
    dying, evaluating = session("Exits"), case(steps=EVALUATE)
    seen = [dying.observe(evaluating) for _ in range(2 * IN_A_ROW)]
    told = "not asked: the 10 that were asked last took the host down or ran past their time"
    assert [False] * IN_A_ROW + [True] * IN_A_ROW == [isinstance(one, Crashed) and told == one.reason for one in seen]
    assert isinstance(dying.observe(case()), Observation)
