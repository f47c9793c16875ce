"""Plays one case on an adapter, call by call, and collects what comes of each; expects nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from conformance.adapters.contract import Adapter, Array, Forward, Layer
from conformance.corpus.inputs import laid_out
from conformance.host.messages import Call, Ran, Run, StepError, StepReply
from conformance.host.observation import NO_FORWARD, UNSUPPORTED

__all__ = ["AdapterFault", "play"]

T = TypeVar("T")


class AdapterFault(Exception):  # noqa: N818  (not an error of the implementation)
    """The adapter failed where only itself can be at fault; ``step`` is what it was asked."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


class _Missing(Exception):  # noqa: N818
    """What a call needs is not there; ``type`` is how it is reported."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def play(adapter: Adapter, request: Run, arrays: Mapping[str, Array]) -> tuple[Ran, dict[str, Array]]:
    """Return what came of the case, and the arrays ``STEP:QUANTITY``.

    An exception of the implementation is an outcome, and the next call goes on.

    Raises:
        AdapterFault: the adapter failed in ``dialect_for`` or ``unsupported``.
    """
    dialect = _declared("dialect_for", lambda: adapter.dialect_for(request.layer))
    unsupported = _declared("unsupported", lambda: adapter.unsupported(request.case))
    player = _Player(arrays, request.case.memory)
    created = player.create(adapter, request)
    steps: tuple[StepReply, ...] = ()
    if created.raises is None:
        steps = tuple(player.take(number, call) for number, call in enumerate(request.program, start=1))
    ran = Ran(dialect=dialect, unsupported=unsupported, create=created, steps=steps, seconds=player.seconds)
    return ran, player.yielded


def _declared(step: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Exception as error:
        raise AdapterFault(step) from error


class _Player:
    """The layer, the forwards kept for their backwards, and what has been yielded so far."""

    def __init__(self, arrays: Mapping[str, Array], memory: str) -> None:
        self.arrays, self.memory = arrays, memory
        self.layer: Layer | None = None
        self.forwards: dict[str, Forward] = {}
        self.yielded: dict[str, Array] = {}
        self.seconds = 0.0

    def create(self, adapter: Adapter, request: Run) -> StepReply:
        state = {name: np.array(array) for name, array in self.arrays.items() if ":" not in name}

        def build() -> None:
            self.layer = self.timed(lambda: adapter.create(request.layer, state))

        return StepReply(_error_of(build))

    def take(self, number: int, call: Call) -> StepReply:
        """Do one call, then read the state; the first error of the two is reported."""
        error = _error_of(lambda: self.call(number, call))
        wanted = [name for name in call.observe if name != "y"]
        unread = _error_of(lambda: self.read_state(number, wanted)) if wanted else None
        return StepReply(error or unread)

    def call(self, number: int, call: Call) -> None:
        if call.through_update is not None:
            self.through_update(number, *call.through_update)
        elif call.backward is not None:
            self.backward(number, call, self.forwards.get(call.backward))
        else:
            self.forward(number, call)

    def forward(self, number: int, call: Call) -> None:
        mode = "train" if call.train is not None else "evaluate"
        x = self.input(call.train or call.evaluate or "")
        forward = self.timed(lambda: self.built.forward(x, mode))
        if call.name is not None:
            self.forwards[call.name] = forward
        if "y" in call.observe:
            self.keep(number, "y", self.timed(lambda: forward.y))
        if call.gradients:
            self.backward(number, call, forward)

    def backward(self, number: int, call: Call, forward: Forward | None) -> None:
        if forward is None:
            raise _Missing(NO_FORWARD, f"the forward `{call.backward}` failed: there is nothing to go back from")
        dy = np.array(self.arrays[f"dy:{number}"])
        gradients = self.timed(lambda: forward.backward(dy, call.gradients))
        for name in call.gradients:
            if name in gradients:
                self.keep(number, f"d{name}", gradients[name])

    def through_update(self, number: int, first: str, second: str) -> None:
        method = getattr(self.built, "through_update", None)
        if method is None:
            raise _Missing(UNSUPPORTED, "the layer of the adapter has no method through_update")
        earlier, later, dy = self.input(first), self.input(second), np.array(self.arrays[f"dy:{number}"])
        self.keep(number, "dx_earlier", self.timed(lambda: method(earlier, later, dy)))

    def read_state(self, number: int, wanted: Sequence[str]) -> None:
        state = self.timed(self.built.get_state)
        for name in wanted:
            if name in state:
                self.keep(number, name, state[name])

    @property
    def built(self) -> Layer:
        assert self.layer is not None
        return self.layer

    def input(self, label: str) -> Array:
        # A copy for each call: one that writes into its input spoils no other.
        return laid_out(np.array(self.arrays[f"x:{label}"]), self.memory)

    def keep(self, number: int, name: str, value: Any) -> None:
        # A copy at once: the adapter may have given a view of what later calls overwrite.
        self.yielded[f"{number}:{name}"] = np.array(value)

    def timed(self, act: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return act()
        finally:
            self.seconds += time.perf_counter() - start


def _error_of(act: Callable[[], None]) -> StepError | None:
    try:
        act()
    except _Missing as missing:
        return StepError(missing.kind, str(missing))
    except Exception as error:  # noqa: BLE001  (any error is an outcome)
        return StepError(type(error).__name__, str(error))
    return None
