"""Plays one case on an adapter, call by call, and collects what comes of each; expects nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from conformance.adapters.contract import Adapter, Array, Forward, Layer
from conformance.corpus.inputs import laid_out
from conformance.errors import HostError
from conformance.host.messages import Call, Ran, Run, StepError, StepReply
from conformance.host.observation import NO_FORWARD, UNSUPPORTED
from conformance.pages import page

__all__ = ["AdapterFault", "play"]

T = TypeVar("T")


class AdapterFault(Exception):  # noqa: N818  (not an error of the implementation)
    """The adapter failed where only itself can be at fault; ``step`` is what it was asked."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


class _Outcome(Exception):  # noqa: N818
    """How a call ended: the only exception that is reported as an outcome."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.error = StepError(kind, message)


def play(adapter: Adapter, request: Run, arrays: Mapping[str, Array]) -> tuple[Ran, dict[str, Array]]:
    """Return what came of the case, and the arrays ``STEP:QUANTITY``.

    An exception of the implementation is an outcome, and the next call goes on.

    Raises:
        AdapterFault: the adapter failed in ``dialect_for`` or ``unsupported``.
        HostError: the request lacks an array.
    """
    _check_complete(request, arrays)
    dialect = _declared("dialect_for", lambda: adapter.dialect_for(request.layer))
    unsupported = _declared("unsupported", lambda: adapter.unsupported(request.case))
    player = _Player(arrays, request.case.memory)
    created = player.create(adapter, request)
    steps: tuple[StepReply, ...] = ()
    if created.raises is None:
        unsupported = unsupported or player.cannot_deploy(request.program)
        steps = tuple(player.take(number, call) for number, call in enumerate(request.program, start=1))
    ran = Ran(dialect=dialect, unsupported=unsupported, create=created, steps=steps, seconds=player.seconds)
    return ran, player.yielded


def _declared(step: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Exception as error:
        raise AdapterFault(step) from error


def _check_complete(request: Run, arrays: Mapping[str, Array]) -> None:
    needed: set[str] = set()
    for number, call in enumerate(request.program, start=1):
        one = (call.train, call.evaluate, call.automatic, call.converge)
        labels = call.through_update or call.replicas or tuple(filter(None, one))
        needed |= {f"x:{label}" for label in labels}
        if call.masked:
            needed |= {f"mask:{label}" for label in labels}
        if call.gradients or call.through_update:
            needed.add(f"dy:{number}")
        if call.folded:
            needed.add(f"kernel:{number}")
        if call.hvp or call.third or call.jvp:
            needed |= {f"{name}:{number}" for name in ("dy", "v_x", *(f"v_{one}" for one in call.hvp))}
    if absent := sorted(needed - arrays.keys()):
        raise HostError(f"the request lacks the array {absent[0]}", hint=f"{page('protocol.md')} shows a request")


class _Player:
    """The layer, the forwards kept for their backwards, and what has been yielded so far."""

    def __init__(self, arrays: Mapping[str, Array], memory: str) -> None:
        self.arrays, self.memory = arrays, memory
        self.layer: Layer | None = None
        self.forwards: dict[str, Forward] = {}
        self.saved: dict[str, dict[str, Array]] = {}
        self.yielded: dict[str, Array] = {}
        self.seconds = 0.0

    def create(self, adapter: Adapter, request: Run) -> StepReply:
        state = {name: np.array(array) for name, array in self.arrays.items() if ":" not in name}

        def build() -> None:
            if request.network is None:
                self.layer = self.ask(lambda: adapter.create(request.layer, state))
                return
            create: Callable[..., Layer] | None = getattr(adapter, "create_network", None)
            if create is None:
                raise _Outcome(UNSUPPORTED, "the adapter has no method create_network")
            self.layer = self.ask(lambda: create(request.layer, request.network, state))

        return StepReply(_error_of(build))

    def take(self, number: int, call: Call) -> StepReply:
        """Do one call, then read the state; the first error of the two is reported."""
        error = _error_of(lambda: self.call(number, call))
        if error is not None and error.type in (UNSUPPORTED, NO_FORWARD):
            return StepReply(error)  # nothing was called: there is nothing to see
        wanted = [name for name in call.observe if name != "y"]
        unread = _error_of(lambda: self.read_state(number, wanted)) if wanted else None
        return StepReply(error or unread)

    def call(self, number: int, call: Call) -> None:
        if call.through_update is not None:
            self.through_update(number, *call.through_update)
        elif call.backward is not None:
            self.backward(number, call, self.forwards.get(call.backward))
        elif call.freeze is not None:
            self.ask(self.ability("freeze" if call.freeze else "thaw"))
        elif call.reload:
            self.layer = self.ask(self.ability("reload"))
        elif call.save is not None:
            self.saved[call.save] = self.state()
        elif call.restore is not None or call.average is not None:
            self.put_back(call.average or (call.restore or "",))
        elif call.converge is not None:
            self.converge(number, call)
        elif call.hvp or call.third or call.jvp:
            self.higher_order(number, call)
        elif call.folded or call.exported:
            self.deploy(number, call)
        else:
            self.forward(number, call)

    def put_back(self, names: Sequence[str]) -> None:
        """Set the state to one that was kept, or to the average of several."""
        states = [self.saved[name] for name in names]
        put = {name: average([state[name] for state in states]) for name in states[0]}
        self.ask(lambda: self.built.set_state(put))

    def converge(self, number: int, call: Call) -> None:
        """Train on one input again and again; keep how far evaluating it is from its output in train."""
        label = call.converge or ""

        def output(mode: str) -> Array:
            x = self.input(label)
            return self.ask(lambda: np.array(self.built.forward(x, mode).y)).astype(np.float64)

        evaluated = [output("evaluate")]
        trained = output("train")
        for k in range(1, call.times + 1):
            if k % call.every == 0:
                evaluated.append(output("evaluate"))
            if k < call.times:
                output("train")
        self.yielded[f"{number}:mse"] = np.array([mean_square(one - trained) for one in evaluated])

    def higher_order(self, number: int, call: Call) -> None:
        """Ask for the derivatives of one call, each by a call of its own."""
        mode, label = ("train", call.train) if call.train is not None else ("evaluate", call.evaluate)

        def x() -> Array:
            return self.input(label or "")

        def given(name: str) -> Array:
            return np.array(self.arrays[f"{name}:{number}"])

        if call.hvp:
            hvp = self.ability("hvp")
            directions = {name: given(f"v_{name}") for name in call.hvp}
            products = self.ask(lambda: dict(hvp(x(), mode, given("dy"), directions)))
            for variable in call.hvp:
                if variable in products:
                    self.keep(number, f"hvp_{variable}", partial(products.get, variable))
        if call.third:
            third = self.ability("third")
            self.keep(number, "third_x", lambda: third(x(), mode, given("dy"), given("v_x")))
        for order in call.jvp:
            quantity = "jvp_y" if order == 1 else f"jvp{order}_y"
            self.keep(number, quantity, partial(self.ability("jvp"), x(), mode, given("v_x"), order))

    def cannot_deploy(self, program: Sequence[Call]) -> str | None:
        """Say that the layer cannot be folded or exported, where that is asked: few can, and none need declare it."""
        wanted = {"fold": any(call.folded for call in program), "export": any(call.exported for call in program)}
        lacking = (name for name, asked in wanted.items() if asked and not hasattr(self.layer, name))
        return next((f"the layer of the adapter has no method {name}" for name in lacking), None)

    def deploy(self, number: int, call: Call) -> None:
        """Ask for the output of what the layer is folded into, or exported to."""
        mode, label = ("train", call.train) if call.train is not None else ("evaluate", call.evaluate)
        x = self.input(label or "")
        if call.folded:
            bias = self.arrays.get(f"bias:{number}")
            linear = np.array(self.arrays[f"kernel:{number}"]), None if bias is None else np.array(bias)
            self.keep(number, "y", partial(self.ability("fold"), x, *linear))
        else:
            self.keep(number, "y", partial(self.ability("export"), x, mode))

    def forward(self, number: int, call: Call) -> None:
        forward = self.ask(self.caller(call, "evaluate" if call.evaluate is not None else "train"))
        if call.name is not None:
            self.forwards[call.name] = forward
        if "y" in call.observe:
            self.keep(number, "y", lambda: forward.y)
        if call.gradients:
            self.backward(number, call, forward)

    def caller(self, call: Call, mode: str) -> Callable[[], Forward]:
        """Return what calls the layer as the step says."""
        if call.replicas is not None:
            return partial(self.ability("forward_replicas"), [self.input(label) for label in call.replicas])
        label = call.train or call.evaluate or call.automatic or ""
        x = self.input(label)
        if call.automatic is not None:
            return partial(self.ability("forward_automatic"), x, bool(call.gradients))
        if call.recompute:
            return partial(self.ability("forward_recomputed"), x)
        if call.masked:
            return partial(self.ability("forward_masked"), x, mode, np.array(self.arrays[f"mask:{label}"]))
        return partial(self.built.forward, x, mode)

    def backward(self, number: int, call: Call, forward: Forward | None) -> None:
        if forward is None:
            raise _Outcome(NO_FORWARD, f"the forward `{call.backward}` failed: there is nothing to go back from")
        dy = np.array(self.arrays[f"dy:{number}"])
        gradients = self.ask(lambda: dict(forward.backward(dy, call.gradients)))
        for name in call.gradients:
            if name in gradients:
                self.keep(number, f"d{name}", partial(gradients.get, name))

    def through_update(self, number: int, first: str, second: str) -> None:
        method = self.ability("through_update")
        earlier, later, dy = self.input(first), self.input(second), np.array(self.arrays[f"dy:{number}"])
        self.keep(number, "dx_earlier", lambda: method(earlier, later, dy))

    def ability(self, name: str) -> Callable[..., Any]:
        """Return an optional method of the layer; that there is none is an outcome."""
        method: Callable[..., Any] | None = getattr(self.built, name, None)
        if method is None:
            raise _Outcome(UNSUPPORTED, f"the layer of the adapter has no method {name}")
        return method

    def read_state(self, number: int, wanted: Sequence[str]) -> None:
        state = self.ask(lambda: dict(self.built.get_state()))
        for name in wanted:
            if name in state:
                self.keep(number, name, partial(state.get, name))

    def state(self) -> dict[str, Array]:
        """Return a copy of the whole state, with what counts the updates where the layer gives that."""
        return {name: np.array(array) for name, array in self.ask(lambda: dict(self.built.get_state())).items()}

    @property
    def built(self) -> Layer:
        assert self.layer is not None
        return self.layer

    def input(self, label: str) -> Array:
        # A copy for each call: one that writes into its input spoils no other.
        return laid_out(np.array(self.arrays[f"x:{label}"]), self.memory)

    def keep(self, number: int, name: str, value: Callable[[], Any]) -> None:
        # A copy at once: the adapter may have given a view of what later calls overwrite.
        self.yielded[f"{number}:{name}"] = self.ask(lambda: np.array(value()))

    def ask(self, act: Callable[[], T]) -> T:
        """Call the adapter, against the clock; its exceptions, and no others, are outcomes."""
        start = time.perf_counter()
        try:
            return act()
        except Exception as error:
            raise _Outcome(_class_of(error), str(error)) from error
        finally:
            self.seconds += time.perf_counter() - start


def _class_of(error: Exception) -> str:
    """Return the name of the class, with its module where the bare name would say that nothing was called."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__name__ in (UNSUPPORTED, NO_FORWARD) else kind.__name__


def average(values: Sequence[Array]) -> Array:
    """Return the average of arrays, taken in float64, in the dtype of the first; of one array itself."""
    mean = np.mean([one.astype(np.float64) for one in values], axis=0)
    return np.asarray(mean).astype(values[0].dtype)


def mean_square(values: Array) -> float:
    """Return the average of the squares."""
    return float(np.mean(values * values)) if values.size else 0.0


def _error_of(act: Callable[[], None]) -> StepError | None:
    try:
        act()
    except _Outcome as outcome:
        return outcome.error
    return None
