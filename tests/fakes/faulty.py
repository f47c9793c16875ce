"""Implementations that are sound but for one act on evaluating: what can go wrong, once each."""

from __future__ import annotations

import ctypes
import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from third_party import Sound

from conformance.adapters.contract import Array, LayerConfig, State
from conformance.adapters.shared import numpy_forward, numpy_layer
from conformance.definition.batch_norm import State as BatchNormState
from conformance.definition.rules import Rules


class _Faulty(Sound):
    """Trains well; what comes of evaluating is for others to say."""

    def spoil(self, y: Array) -> Array:
        return y

    def counted(self, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        return gradients

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        return _Layer(layer, state, self.rules, self)


class _Layer(numpy_layer.Layer):
    def __init__(self, layer: LayerConfig, state: State, rules: Rules, adapter: _Faulty) -> None:
        super().__init__(layer, state, rules)
        self.adapter = adapter

    def forward(self, x: Array, mode: str) -> numpy_forward.Forward:
        forward = super().forward(x, mode)
        return _Forward(forward, self.adapter) if mode == "evaluate" else forward


class _Forward(numpy_forward.Forward):
    def __init__(self, sound: numpy_forward.Forward, adapter: _Faulty) -> None:
        super().__init__(sound.layer, sound.batch, sound.call, sound.dtype)
        self.adapter = adapter

    @property
    def y(self) -> Array:
        return self.adapter.spoil(super().y)

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        return self.adapter.counted(super().backward(dy, wrt))


class Segfaults(_Faulty):
    def spoil(self, y: Array) -> Array:
        ctypes.string_at(0)
        return y


class Aborts(_Faulty):
    def spoil(self, y: Array) -> Array:
        os.abort()


class Exits(_Faulty):
    def spoil(self, y: Array) -> Array:
        os._exit(3)


class KillsItself(_Faulty):
    def spoil(self, y: Array) -> Array:
        os.kill(os.getpid(), 9)
        return y


class Loops(_Faulty):
    def spoil(self, y: Array) -> Array:
        while True:
            pass


class AnswersLate(_Faulty):
    def spoil(self, y: Array) -> Array:
        time.sleep(2)
        return y


class Hoards(_Faulty):
    def spoil(self, y: Array) -> Array:
        hoard = []
        while len(hoard) < 2**12:
            hoard.append(np.ones(2**18))
        return y


class Babbles(_Faulty):
    """It writes to every pipe that it finds."""

    def spoil(self, y: Array) -> Array:
        for descriptor in range(3, 64):
            try:
                if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b"Loading model, please wait...\n")
            except OSError:
                continue
        return y


class WrongShape(_Faulty):
    def spoil(self, y: Array) -> Array:
        return y[:-1]


class TooFew(_Faulty):
    """It answers with one gradient less than it was asked for."""

    def counted(self, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        return dict(list(gradients.items())[:-1])


class TooManyRows(_Faulty):
    def spoil(self, y: Array) -> Array:
        return np.concatenate([y, y])


class WrongDtype(_Faulty):
    def spoil(self, y: Array) -> Array:
        return y.astype(np.float16)


class NotANumber(_Faulty):
    def spoil(self, y: Array) -> Array:
        return np.where(y > 0, np.nan, y).astype(y.dtype)


class Raises(_Faulty):
    def spoil(self, y: Array) -> Array:
        raise MemoryError("not a byte is left")


class Flaky(_Faulty):
    """The first evaluation of all is wrong, in whatever process: a file counts them."""

    def spoil(self, y: Array) -> Array:
        counter = Path(os.environ["FLAKY_COUNTER"])
        count = len(counter.read_bytes()) if counter.exists() else 0
        counter.write_bytes(b"x" * (count + 1))
        return y if count else 2 * y


class CrashesOnce(_Faulty):
    """The first evaluation of all ends the process."""

    def spoil(self, y: Array) -> Array:
        counter = Path(os.environ["FLAKY_COUNTER"])
        if not counter.exists():
            counter.touch()
            os._exit(3)
        return y


class Leaks(_Faulty):
    """What it was once asked to evaluate changes what it answers to training, ever after."""

    spoiled = False

    def spoil(self, y: Array) -> Array:
        Leaks.spoiled = True
        return y

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        made = super().create(layer, state)
        if self.spoiled:
            made.state = BatchNormState(made.state.mean + 1, made.state.var)
        return made
