"""How higher derivatives are asked of a layer: which methods, with what, and what it means that one is lacking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.adapters.contract import Adapter, Implementation
from conformance.corpus.case import Case, Step
from conformance.corpus.inputs import generate
from conformance.errors import HostError
from conformance.host.messages import Run
from conformance.host.play import play

STEPS = (Step(train="a", hvp=("x", "gamma"), third=True, jvp=(1, 2)),)


class Layer:
    """Answers with zeros, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def hvp(self, x: Any, mode: str, dy: Any, directions: Any) -> dict[str, Any]:
        self.asked.append(("hvp", mode, tuple(directions)))
        return {name: 0 * direction for name, direction in directions.items()}

    def third(self, x: Any, mode: str, dy: Any, direction: Any) -> Any:
        self.asked.append(("third", mode))
        x += 1  # what is written into an input stays there
        return 0 * direction

    def jvp(self, x: Any, mode: str, direction: Any, order: int) -> Any:
        self.asked.append(("jvp", mode, order, float(x.sum())))
        return 0 * direction


class Fake(Adapter):
    """Hands out one layer."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def describe(self) -> Implementation:
        return Implementation(name="fake", versions={"fake": "1"})

    def create(self, layer: Any, state: Any) -> Any:
        return self.layer


def case() -> Case:
    return Case(id="file/name", fact="X is Y.", clauses=("9.1",), steps=STEPS, shape="5x3")


def test_each_derivative_is_a_call_of_its_own() -> None:
    """A step asks each method for what it names, on a fresh copy of the input, and nothing of the state."""
    arrays, layer = generate(case()), Layer()
    ran, yielded = play(Fake(layer), Run.of(case()), arrays)
    total = float(arrays["x:a"].sum())
    expected = [
        ("hvp", "train", ("x", "gamma")),
        ("third", "train"),
        ("jvp", "train", 1, total),
        ("jvp", "train", 2, total),
    ]
    assert expected == layer.asked
    assert {"1:hvp_x", "1:hvp_gamma", "1:third_x", "1:jvp_y", "1:jvp2_y"} == set(yielded)
    assert (3,) == yielded["1:hvp_gamma"].shape
    assert ran.steps[0].raises is None


@pytest.mark.parametrize("lacking", ["hvp", "third", "jvp"])
def test_a_layer_without_the_method_says_so(lacking: str) -> None:
    """A method that the layer lacks is the outcome Unsupported, with its name."""
    incomplete = type("Incomplete", (Layer,), {lacking: None})()
    ran, _ = play(Fake(incomplete), Run.of(case()), generate(case()))
    raised = ran.steps[0].raises
    assert raised is not None
    assert ("Unsupported", True) == (raised.type, lacking in raised.message)


def test_a_request_without_its_direction_is_refused() -> None:
    """A request that lacks a direction is the fault of whoever sent it."""
    arrays = {name: array for name, array in generate(case()).items() if name != "v_gamma:1"}
    with pytest.raises(HostError, match="v_gamma:1"):
        play(Fake(Layer()), Run.of(case()), arrays)


def test_what_a_layer_overwrites_reaches_no_other_call() -> None:
    """Each call has its own copy of the direction: one that writes into it changes no other."""
    seen: list[Any] = []

    class Overwriting(Layer):
        def third(self, x: Any, mode: str, dy: Any, direction: Any) -> Any:
            direction += 1
            return np.zeros_like(x)

        def jvp(self, x: Any, mode: str, direction: Any, order: int) -> Any:
            seen.append(direction.copy())
            direction *= 0
            return np.zeros_like(x)

    arrays = generate(case())
    play(Fake(Overwriting()), Run.of(case()), arrays)
    np.testing.assert_array_equal([arrays["v_x:1"]] * 2, seen)
