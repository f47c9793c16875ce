"""The worker, spoken to as a foreign client would: by the bytes of docs/protocol.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.frames import Frame, encode, read_frame
from conformance.host.messages import Call, Run

Answer = dict[str, Any]


def spoken(adapter: str, *requests: bytes) -> list[Answer]:
    """Send all requests at once, close the pipe, and return all answers."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "conformance.host.worker", adapter]
    done = subprocess.run(
        command, input=b"".join(requests), capture_output=True, env=environment, check=True, timeout=60
    )
    left = bytearray(done.stdout)

    def read(count: int) -> bytearray:
        piece = left[:count]
        del left[:count]
        return piece

    answers: list[Answer] = []
    while left:
        answers.append(json.loads(read_frame(read).message))
    return answers


def request(message: object, **arrays: Any) -> bytes:
    return encode(Frame(json.dumps(message).encode(), arrays))


DESCRIBE = request({"op": "describe"})


def test_describe() -> None:
    """Describing gives the implementation, all fields written out, and the abilities of the adapter."""
    implementation = {
        "name": "fake", "versions": {"fake": "1"}, "execution": "eager", "device": "cpu", "documentation": "",
        "settings": {}, "title": "",
    }  # fmt: skip
    assert [{"implementation": implementation, "abilities": [], "defaults": None}] == spoken("fakes:Sound", DESCRIBE)


def test_exit_ends() -> None:
    """After ``exit`` nothing is answered, and the host ends well."""
    assert len(spoken("fakes:Sound", DESCRIBE, request({"op": "exit"}), DESCRIBE)) == 1


FAULTS = {
    "unknown op": ("fakes:Sound", request({"op": "dance"}), "protocol", "Invalid value 'dance'"),
    "no op": ("fakes:Sound", request({}), "protocol", "missing required field `op`"),
    "malformed case": ("fakes:Sound", request({"op": "run", "case": {}}), "protocol", "missing required field `id`"),
    "import": ("raises_at_import:Adapter", DESCRIBE, "import", "libfancy.so: cannot open shared object file"),
    "describe": ("fakes:RaisesInDescribe", DESCRIBE, "describe", "who am I?"),
    "unknown adapter": ("tensorflw", DESCRIBE, "import", "no adapter is named 'tensorflw'"),
}


@pytest.mark.parametrize(("adapter", "bad", "step", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_answers(adapter: str, bad: bytes, step: str, message: str) -> None:
    """A request that cannot be served has an error as answer, and the next is answered too."""
    first, second = spoken(adapter, bad, DESCRIBE)
    assert step == first["error"]["step"]
    assert message in first["error"]["message"]
    assert second


def test_garbage_ends_with_an_answer() -> None:
    """What is no message is answered as a fault of the protocol, the last answer."""
    (answer,) = spoken("fakes:Sound", b"GET / HTTP/1.1\r\n\r\n" + DESCRIBE)
    assert answer["error"]["step"] == "protocol"
    assert "not a message" in answer["error"]["message"]


def test_a_lacking_array_is_a_fault(case: Callable[..., Case]) -> None:
    """A request that lacks an array is at fault, and no implementation is accused of it."""
    made = case()
    arrays = {name: array for name, array in generate(made).items() if name != "x:a"}
    (answer,) = spoken("fakes:Sound", encode(Frame(msgspec.json.encode(Run.of(made)), arrays)))
    assert "the request lacks the array x:a" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("step", "lacking"),
    [
        ({"replicas": ["a", "b"]}, "x:b"),
        ({"train": "a", "masked": True}, "mask:a"),
        ({"train": "a", "gradients": ["x"]}, "dy:1"),
    ],
)
def test_every_array_of_a_step_is_looked_for(case: Callable[..., Case], step: dict[str, Any], lacking: str) -> None:
    """What replicas, masks and gradients need is asked for before anything is called."""
    made = case(steps=[step])
    arrays = {name: array for name, array in generate(made).items() if name != lacking}
    (answer,) = spoken("fakes:Sound", encode(Frame(msgspec.json.encode(Run.of(made)), arrays)))
    assert f"the request lacks the array {lacking}" in answer["error"]["message"]


def test_layer_and_program_are_written_out(case: Callable[..., Case]) -> None:
    """A request holds the layer and every call of the program, defaults and repetitions included."""
    sent = json.loads(msgspec.json.encode(Run.of(case(repeat=2, momentum="cumulative", channel_axis="last"))))
    layer = {"channels": 3, "rank": 2, "momentum": None, "gamma": True, "dtype": "float32", "channel_axis": "last"}
    assert layer.items() <= sent["layer"].items()
    assert ["a", "a.2"] == [call["train"] for call in sent["program"]]
    rest = {"evaluate": None, "gradients": [], "observe": ["y", "running_mean", "running_var"]}
    for call in sent["program"]:
        assert rest.items() <= call.items()
        assert set(Call.__struct_fields__) == set(call)


def test_a_file_here_shadows_no_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``torch.py`` beside a user's adapter is not imported in the framework's stead."""
    (tmp_path / "mine.py").write_text("import colorsys\nfrom fakes import Sound as Adapter\n")
    (tmp_path / "colorsys.py").write_text("raise ImportError('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    (answer,) = spoken("mine:Adapter", DESCRIBE)
    assert answer["implementation"]["name"] == "fake"


def test_values_are_untouched(case: Callable[..., Case]) -> None:
    """NaN, infinities, negative zero and subnormals reach the implementation and come back bit for bit."""
    made = case(steps=[{"evaluate": "a", "observe": ["y"]}], shape="2x3", dtype="float64")
    x = np.array([[np.nan, np.inf, -np.inf], [-0.0, 5e-324, 1e308]])
    arrays = {**generate(made), "x:a": x}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-m", "conformance.host.worker", "fakes:Sound"], env=environment, capture_output=True,
        input=encode(Frame(msgspec.json.encode(Run.of(made)), arrays)), check=True, timeout=60,
    )  # fmt: skip
    left = bytearray(done.stdout)
    answer = read_frame(lambda count: bytearray(left.pop(0) for _ in range(count)))
    with np.errstate(over="ignore"):
        assert (2 * x).tobytes() == answer.arrays["1:y"].tobytes()
