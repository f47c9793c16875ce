"""Keeps the host of one adapter running: starts it, and starts another when it is gone."""

from __future__ import annotations

import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from conformance.adapters.contract import Defaults, Implementation
from conformance.adapters.registry import AdapterSpec, load
from conformance.errors import HostError
from conformance.host.answers import Fault, answer_of, told
from conformance.host.client import Host, HostDied
from conformance.host.configuration import ConfiguredHost
from conformance.host.environment import host_environment
from conformance.host.frames import Frame
from conformance.host.in_process import InProcess
from conformance.host.messages import Describe, Described, Exit
from conformance.host.service import Service

__all__ = ["ATTEMPTS", "Channel", "Keeper", "NotRestartedError", "Wanted"]

#: So often a host is started, and a case asked, that others kill.
ATTEMPTS = 3

_TRY = "python -c \"from conformance.adapters.registry import *; load(find('{}')).describe()\""
_encode = msgspec.json.Encoder().encode
_DESCRIBE, _EXIT = Frame(_encode(Describe())), Frame(_encode(Exit()))


class Channel(Protocol):
    """What a session needs of a host, be it a process or not."""

    @property
    def is_alive(self) -> bool:
        """Tell whether it can be asked."""

    def request(self, frame: Frame, time_limit: float | None = None) -> Frame:
        """Send a message and return the answer."""

    def send_and_close(self, frame: Frame) -> None:
        """Send a last message, and end it."""

    def close(self) -> None:
        """End it at once."""


class NotRestartedError(Exception):
    """The host did not start again: no fault of the case that it was to be asked."""

    def __init__(self, error: HostError | Fault) -> None:
        super().__init__(told(error.failure) if isinstance(error, Fault) else str(error))
        self.from_outside = isinstance(error, HostDied) and error.from_outside


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be started, and with which limits: see ``HostSession``."""

    adapter: str
    spec: AdapterSpec
    host: ConfiguredHost | None
    time_limit: float
    start_limit: float
    memory_limit: int | None
    device: str
    in_process: bool


class Keeper:
    """Starts the host when it is needed. One thread at a time, but for ``abort``."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.channel: Channel | None = None
        self.implementation: Implementation | None = None
        self.defaults: Defaults | None = None
        self.aborted = False
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def first_start(self) -> str | None:
        """Start, and return what went wrong, or ``None``."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._running()
            except HostError as error:
                if isinstance(error, HostDied) and error.from_outside and attempt < ATTEMPTS and not self.aborted:
                    continue
                return f"{self._who()}: the host does not start: {error.args[0]}"
            except Fault as fault:
                return f"{self._who()}: {told(fault.failure)}"
            return None
        raise AssertionError("the last attempt returns")

    def hint(self) -> str:
        """Say what its user can do about a host that does not start."""
        host, spec = self.wanted.host, self.wanted.spec
        if host is not None:
            return f"it is started in {host.directory} by: {shlex.join(host.command)}"
        if not spec.is_installed:
            return f"install what it needs: {spec.remedy}"
        return "its maker can try: " + _TRY.format(self.wanted.adapter)

    def running(self) -> Channel:
        """Return the host, started if it does not run.

        Raises:
            NotRestartedError: it does not start.
        """
        try:
            return self._running()
        except (HostError, Fault) as error:
            raise NotRestartedError(error) from error

    def close(self, *, at_once: bool = False) -> None:
        """End the host, without a last message if it is to be ``at_once``."""
        if self.channel is not None:
            if at_once:
                self.channel.close()
            else:
                self.channel.send_and_close(_EXIT)
            self.channel = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def abort(self) -> None:
        """Kill the host, and start no other; any thread may call this."""
        self.aborted = True  # before the channel is read: a thread that is starting one looks at this after it
        channel = self.channel
        if channel is not None:
            channel.close()

    def _running(self) -> Channel:
        if self.channel is None or not self.channel.is_alive:
            if self.channel is not None:
                self.channel.close()  # others have killed it: it is still to be reaped
                self.channel = None
            self._refuse_aborted()
            self.channel = self._start()
            try:
                self._refuse_aborted()
                described, _ = answer_of(self.channel.request(_DESCRIBE, self.wanted.start_limit), Described)
            except (HostError, Fault):
                self.channel.send_and_close(_EXIT)
                self.channel = None
                raise
            who, title = described.implementation, self.wanted.host.title if self.wanted.host is not None else ""
            self.implementation = replace(who, title=title) if title else who
            self.defaults = described.defaults
        return self.channel

    def _refuse_aborted(self) -> None:
        if self.aborted:
            raise HostDied("the session was aborted")

    def _start(self) -> Channel:
        wanted = self.wanted
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True)
        environment = host_environment(wanted.device, Path(self._scratch.name))
        if wanted.in_process:
            return InProcess(Service(partial(load, wanted.spec)), environment)
        if (host := wanted.host) is not None:
            environment |= host.environment
            return Host(host.command, environment, wanted.time_limit, wanted.memory_limit, host.directory)
        command = (sys.executable, "-m", "conformance.host.worker", wanted.adapter)
        return Host(command, environment, wanted.time_limit, wanted.memory_limit)

    def _who(self) -> str:
        wanted = self.wanted
        return f"adapter {wanted.adapter}" if wanted.host is None else f"{wanted.host.place}: host {wanted.adapter}"
