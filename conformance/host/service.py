"""Serves the requests of the protocol with one adapter, in whatever process it runs."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace

import msgspec

from conformance.adapters.contract import Adapter, Defaults
from conformance.adapters.shared.device import pinned
from conformance.errors import ConformanceError
from conformance.host.frames import Frame
from conformance.host.messages import Check, Describe, Described, Exit, Failed, Failure, Request, Run
from conformance.host.play import AdapterFault, play
from conformance.smoke.checks import make

__all__ = ["Service", "abilities", "failed"]

_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def _hook(value: object) -> object:
    if isinstance(value, str):  # torch.__version__ is of a class derived from str
        return str(value)
    raise TypeError(f"cannot send a {type(value).__name__}: {value!r}")


_encode = msgspec.json.Encoder(enc_hook=_hook).encode


class Service:
    """Answers requests; the adapter is loaded for the first one, and its faults are answers too."""

    def __init__(self, load: Callable[[], Adapter]) -> None:
        self._load = load
        self._adapter: Adapter | Failed | None = None

    def answer(self, frame: Frame) -> Frame | None:
        """Return the answer to a request, with its token, ``None`` if it asks to end."""
        answer = self._answer(frame)
        return replace(answer, token=frame.token) if answer is not None and frame.token else answer

    def _answer(self, frame: Frame) -> Frame | None:
        try:
            request = _REQUEST.decode(frame.message)
        except msgspec.MsgspecError as error:
            return failed("protocol", error)
        if isinstance(request, Exit):
            return None
        if self._adapter is None:
            self._adapter = self._loaded()
        if isinstance(self._adapter, Failed):
            return Frame(_encode(self._adapter))
        if isinstance(request, Describe):
            return _describe(self._adapter)
        if isinstance(request, Check):
            return _check(self._adapter, request.name)
        return _run(self._adapter, request, frame)

    def _loaded(self) -> Adapter | Failed:
        try:
            return self._load()
        except Exception as error:  # noqa: BLE001  (any fault is an answer)
            return Failed(_failure("import", error))


def abilities(adapter: Adapter) -> tuple[str, ...]:
    """Return the names of the optional methods that an adapter has beyond the contract."""
    names = (name for name in dir(adapter) if not name.startswith("_") and not hasattr(Adapter, name))
    return tuple(name for name in names if callable(getattr(type(adapter), name, None)))


def failed(step: str, error: BaseException) -> Frame:
    """Return the answer that says what went wrong while doing what."""
    return Frame(_encode(Failed(_failure(step, error))))


def _describe(adapter: Adapter) -> Frame:
    try:
        who, device = adapter.describe(), pinned()
        if device.settings:
            who = replace(who, device=device.name, settings={**who.settings, **device.settings})
        read: Callable[[], Defaults] | None = getattr(adapter, "defaults", None)
        return Frame(_encode(Described(who, abilities(adapter), None if read is None else read())))
    except Exception as error:  # noqa: BLE001  (any fault is an answer)
        return failed("describe", error)


def _check(adapter: Adapter, name: str) -> Frame:
    try:
        return Frame(_encode(make(adapter, name)))
    except Exception as error:  # noqa: BLE001  (any fault is an answer)
        return failed("check", error)


def _run(adapter: Adapter, request: Run, frame: Frame) -> Frame:
    try:
        ran, arrays = play(adapter, request, frame.arrays)
        return Frame(_encode(ran), arrays)
    except AdapterFault as fault:
        return failed(fault.step, fault.__cause__ or fault)
    except Exception as error:  # noqa: BLE001  (any fault is an answer)
        return failed("run", error)


def _failure(step: str, error: BaseException) -> Failure:
    # What is raised for users is told in full by its text.
    told = "" if isinstance(error, ConformanceError) else "".join(traceback.format_exception(error))
    return Failure(step, type(error).__name__, str(error), told)
