"""Fake adapters, each with one defect; ``Sound`` has none and answers with what it is given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np

from conformance.adapters import contract
from conformance.adapters.contract import Array, Implementation, LayerConfig, State
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect


class Forward:
    def __init__(self, y: Array) -> None:
        self.y = y

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        return {"x": 2 * dy} if "x" in wrt else {}


class Layer:
    """The output is the input doubled; training adds one to the state, in place."""

    def __init__(self, channels: int, state: State) -> None:
        self.state = {"running_mean": np.zeros(channels), "running_var": np.ones(channels), **state}

    def forward(self, x: Array, mode: str) -> Forward:
        if mode == "train":
            self.state["running_mean"] += 1
        return Forward(2 * x)

    def get_state(self) -> State:
        return self.state

    def set_state(self, state: State) -> None:
        self.state.update(state)


class Sound(contract.Adapter):
    def describe(self) -> Implementation:
        return Implementation(name="fake", versions={"fake": "1"})

    def create(self, layer: LayerConfig, state: State) -> Layer:
        return Layer(layer.channels, state)


class RefusesToBeBuilt(Sound):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class RaisesInDescribe(Sound):
    def describe(self) -> Implementation:
        raise RuntimeError("who am I?")


class RaisesInDialect(Sound):
    def dialect_for(self, layer: LayerConfig) -> Dialect:
        raise RuntimeError("no idea")


class RaisesInUnsupported(Sound):
    def unsupported(self, case: Case) -> str | None:
        raise RuntimeError("no idea")


class RaisesInCreate(Sound):
    def create(self, layer: LayerConfig, state: State) -> Layer:
        raise ValueError("too many channels")


class _InForward(Layer):
    """Behaves like ``Layer``, but for one act on evaluating."""

    def act(self, x: Array) -> Array:
        raise NotImplementedError

    def forward(self, x: Array, mode: str) -> Forward:
        return super().forward(x, mode) if mode == "train" else Forward(self.act(x))


class RaisesInForward(Sound):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            raise ValueError("evaluating is not for me")

    def create(self, layer: LayerConfig, state: State) -> Layer:
        return self.Layer(layer.channels, state)


class Unsupported(Exception):  # noqa: N818  (as PyTorch has one)
    """An exception of an implementation that is called like an outcome of the suite's own."""


class RaisesForeign(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            raise Unsupported("a break in the graph")


class Exits(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            sys.stderr.write("that was all\n")
            sys.stderr.flush()
            os._exit(7)


class Segfaults(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            os.kill(os.getpid(), signal.SIGSEGV)
            return x


class NeverReturns(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "left behind by a fake"])
            time.sleep(600)
            return x


class Prints(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            print("garbage on standard output", flush=True)  # noqa: T201
            os.write(1, b"garbage from C\n")
            os.system("echo garbage from a child")  # noqa: S605
            return 2 * x


class ReadsStandardInput(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            doubled: Array = 2 * x + len(sys.stdin.read()) + len(os.read(0, 1))
            return doubled


class WrongShape(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            return np.asarray(x[0])


class WrongType(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            return np.array([{}, {}], dtype=object)


class SpoilsItsInput(RaisesInForward):
    class Layer(_InForward):
        def act(self, x: Array) -> Array:
            x[...] = 0
            return x


class NotAnAdapter:
    pass
