"""Adapters with one defect each, made of the sound one in docs/examples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import my_adapter
import numpy as np

from conformance.adapters.contract import Array, Implementation, LayerConfig, State
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect


class Layer(my_adapter.Layer):  # type: ignore[misc]
    """The sound layer, which hands over its ``Forward`` by way of ``seen``."""

    def forward(self, x: Array, mode: str) -> Any:
        return self.seen(super().forward(x, mode))

    def seen(self, forward: Any) -> Any:
        return forward


class Sound(my_adapter.Adapter):  # type: ignore[misc]
    Layer: type[Any] = Layer

    def create(self, layer: LayerConfig, state: State) -> Any:
        return self.Layer(layer, state)


class NoVersion(Sound):
    def describe(self) -> Implementation:
        return Implementation(name="mine", versions={})


class NoDialect(Sound):
    def dialect_for(self, layer: LayerConfig) -> Any:
        return {"running_variance": "population"}


class NoReason(Sound):
    def unsupported(self, case: Case) -> Any:
        return case.dtype == "float16"


class ChannelsLeftLast(Sound):
    class Layer(Layer):
        def seen(self, forward: Any) -> Any:
            forward.y = np.moveaxis(forward.y, 1, -1)
            return forward


class NoArray(Sound):
    class Layer(Layer):
        def seen(self, forward: Any) -> Any:
            forward.y = forward.y.tolist()
            return forward


class Narrows(Sound):
    class Layer(Layer):
        def forward(self, x: Array, mode: str) -> Any:
            self.held = {name: value.astype(np.float32) for name, value in self.held.items()}
            return super().forward(x.astype(np.float32), mode)


class Rounds(Sound):
    class Layer(Layer):
        def __init__(self, layer: LayerConfig, state: State) -> None:
            super().__init__(layer, {name: np.round(value, 2) for name, value in state.items()})


class SetsNothing(Sound):
    class Layer(Layer):
        def set_state(self, state: State) -> None:
            pass


class SwapsMomentum(Sound):
    def create(self, layer: LayerConfig, state: State) -> Any:
        momentum = None if layer.momentum is None else 1 - layer.momentum
        return self.Layer(msgspec.structs.replace(layer, momentum=momentum), state)


class ForgetsMomentum(Sound):
    def create(self, layer: LayerConfig, state: State) -> Any:
        return self.Layer(msgspec.structs.replace(layer, momentum=0.1), state)


class ReadsACopy(Sound):
    class Layer(Layer):
        def __init__(self, layer: LayerConfig, state: State) -> None:
            super().__init__(layer, state)
            self.copied = dict(self.held)

        def get_state(self) -> State:
            return self.copied

        def set_state(self, state: State) -> None:
            self.copied |= state


class ForgetsEpsilon(Sound):
    def create(self, layer: LayerConfig, state: State) -> Any:
        return self.Layer(msgspec.structs.replace(layer, epsilon=1e-3), state)


class AlwaysTrains(Sound):
    class Layer(Layer):
        def forward(self, x: Array, mode: str) -> Any:
            return super().forward(x, "train")


class NeverTrains(Sound):
    class Layer(Layer):
        def forward(self, x: Array, mode: str) -> Any:
            if mode == "train":
                super().forward(x, "train")
            return super().forward(x, "evaluate")


class SwapsParameters(Sound):
    def create(self, layer: LayerConfig, state: State) -> Any:
        swapped = {"gamma": "beta", "beta": "gamma"}
        return self.Layer(layer, {swapped.get(name, name): value for name, value in state.items()})


class _Backward:
    """A forward whose backward a defect replaces."""

    def __init__(self, forward: Any) -> None:
        self.sound, self.y, self.count = forward, forward.y, 0

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        return self.sound.backward(dy, wrt)  # type: ignore[no-any-return]


class TurnsDy(Sound):
    class Layer(Layer):
        class seen(_Backward):  # noqa: N801  (stands for the method)
            def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
                return super().backward(dy[:, ::-1], wrt)


class IgnoresDy(Sound):
    class Layer(Layer):
        class seen(_Backward):  # noqa: N801
            def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
                return super().backward(np.ones_like(dy) if dy.ndim == 2 else dy, wrt)


class Accumulates(Sound):
    class Layer(Layer):
        class seen(_Backward):  # noqa: N801
            def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
                self.count += 1
                return {name: value * self.count for name, value in super().backward(dy, wrt).items()}


class GivesTheInputAlone(Sound):
    class Layer(Layer):
        class seen(_Backward):  # noqa: N801
            def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
                return {name: value for name, value in super().backward(dy, wrt).items() if name == "x" or len(wrt) < 3}


class GivesViews(Sound):
    class Layer(Layer):
        def get_state(self) -> State:
            self.shown = getattr(self, "shown", {name: value.copy() for name, value in self.held.items()})
            for name, value in self.held.items():
                self.shown[name][...] = value
            return self.shown


class SharesItsState(Sound):
    class Layer(Layer):
        shared: ClassVar[dict[str, Array]] = {}

        def __init__(self, layer: LayerConfig, state: State) -> None:
            super().__init__(layer, state or {**self.shared})

        def set_state(self, state: State) -> None:
            super().set_state(state)
            self.shared.update(state)


class HidesErrors(Sound):
    class Layer(Layer):
        def forward(self, x: Array, mode: str) -> Any:
            try:
                return super().forward(x, mode)
            except Exception:  # noqa: BLE001  (the defect)
                return super().forward(np.zeros((4, 3), np.float32), mode)


class FreezesForEver(Sound):
    class Layer(Layer):
        def freeze(self) -> None:
            pass


class RaisesInForward(Sound):
    class Layer(Layer):
        def forward(self, x: Array, mode: str) -> Any:
            raise TypeError("forward() takes 1 positional argument but 2 were given")


class EndsItsProcess(Sound):
    class Layer(Layer):
        def get_state(self) -> State:
            os._exit(7)


class RaisesInDescribe(Sound):
    def describe(self) -> Implementation:
        raise RuntimeError("who am I?")


class Debiases(Sound):
    """No defect: a declared dialect that another first update goes with."""

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        return Dialect(running_variance="population", statistics_gradient="constant", first_update="replace")

    class Layer(Layer):
        trained = False

        def forward(self, x: Array, mode: str) -> Any:
            if mode == "train" and not self.trained:
                self.trained, own = True, self.config
                self.config = msgspec.structs.replace(own, momentum=1.0)
                try:
                    return super().forward(x, mode)
                finally:
                    self.config = own
            return super().forward(x, mode)
