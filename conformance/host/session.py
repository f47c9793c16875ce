"""A session with one adapter: starts its host when needed, puts cases, starts it again after a crash."""

from __future__ import annotations

import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar, final

import msgspec

from conformance.adapters.contract import Defaults, Implementation
from conformance.adapters.registry import AdapterSpec, find, load
from conformance.corpus.at_hand import AtHand
from conformance.corpus.case import Case
from conformance.corpus.inputs import inputs_of
from conformance.corpus.work import longer
from conformance.errors import AdapterError, HostError, UnstartedError
from conformance.host.answers import Fault, answer_of, observation_of, told
from conformance.host.client import Host, HostDied, HostOutgrew, HostTimedOut
from conformance.host.configuration import ConfiguredHost
from conformance.host.environment import host_environment
from conformance.host.frames import Frame
from conformance.host.in_process import InProcess
from conformance.host.messages import Check, Checked, Describe, Described, Exit, Ran, Run
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.patience import Patience
from conformance.host.service import Service

__all__ = ["START_LIMIT", "HostSession"]

#: So often a case is asked whose host others kill; so many crashes are asked about again, apart.
_ATTEMPTS, _DOUBTS = 3, 8
#: Seconds for a host to start: importing a framework on a busy machine takes most of a minute.
START_LIMIT = 180.0

_TRY = "python -c \"from conformance.adapters.registry import *; load(find('{}')).describe()\""

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
# The request of a case is the same for every host, and so are its bytes.
_request = AtHand(
    lambda case: Frame(_encode(Run.of(case)), inputs_of(case)), lambda frame: 2 * len(frame.image), room=16 * 2**20
)
_DESCRIBE, _EXIT = Frame(_encode(Describe())), Frame(_encode(Exit()))


class _Channel(Protocol):
    """What a session needs of a host, be it a process or not."""

    @property
    def is_alive(self) -> bool: ...

    def request(self, frame: Frame, time_limit: float | None = None) -> Frame: ...

    def send_and_close(self, frame: Frame) -> None: ...

    def close(self) -> None: ...


@final
class HostSession:
    """One adapter in a host of its own. Threads may share it; they take turns.

    Args:
        adapter: a name of the registry, or ``module:Class``.
        time_limit: seconds that a case may take; one that is much work is given more in proportion.
        start_limit: seconds that starting may take.
        device: ``cpu`` or ``cuda``.
        in_process: serve the requests in this very process, for debuggers: no crash isolation and
            no time limit, and the process has the environment variables of a host until ``close``.
        host: the host of that name in a configuration, to be started instead of this interpreter, such as
            the Python of another environment; it is never ``in_process``.
        memory_limit: bytes that the host may hold in memory (Linux only).

    Raises:
        AdapterError: no adapter is named so.
    """

    def __init__(
        self, adapter: str, *, time_limit: float = 60.0, start_limit: float = START_LIMIT, device: str = "cpu",
        in_process: bool = False, host: ConfiguredHost | None = None, memory_limit: int | None = None,
    ) -> None:  # fmt: skip
        self.adapter, self._host = adapter, host
        self._spec = AdapterSpec(adapter, "") if host is not None else find(adapter)
        self._time_limit, self._memory_limit = time_limit, memory_limit
        self._start_limit = start_limit if host is None else host.start_limit
        self._device, self._in_process = device, in_process and host is None
        self._patience = Patience()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._channel: _Channel | None = None
        self._implementation: Implementation | None = None
        self._defaults: Defaults | None = None
        self._refusal: str | None = None
        self._apart: HostSession | None = None
        self._doubts, self._aborted = 0, False
        self._lock = threading.RLock()

    def __enter__(self) -> HostSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def implementation(self) -> Implementation:
        """Return who is asked; starts the host the first time.

        Raises:
            UnstartedError: the host does not start, or its adapter does not import; so each time.
        """
        with self._lock:
            if self._implementation is None:
                if self._refusal is None:
                    self._refusal = self._first_start()
                if self._refusal is not None:
                    raise UnstartedError(self.adapter, self._refusal, hint=self._hint())
            assert self._implementation is not None
            return self._implementation

    @property
    def defaults(self) -> Defaults | None:
        """Return what the implementation takes where its user says nothing, where its adapter tells.

        Raises:
            UnstartedError: as ``implementation`` does.
        """
        _ = self.implementation
        return self._defaults

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        """Put a case and return what came back; the host is started if it does not run.

        Where ``Patience`` is at its end a case is not asked, and has crashed.

        Raises:
            UnstartedError: the host has never started.
        """
        with self._lock:
            self.implementation  # noqa: B018  (its error is the same for every case)
            if not self._patience.asks():
                started = self._channel is not None
                return Crashed(self._patience.why, again=False) if started else Faulty(self._patience.why_not_started)
            start = time.monotonic()
            seen = self._asked(case)
            if isinstance(seen, Crashed) or self._channel is None:
                self._patience.failed(time.monotonic() - start)
            else:
                self._patience = Patience()
            return seen

    def forgive(self) -> None:
        """Forget how often the host has crashed in a row: for whoever looks for what makes it crash."""
        with self._lock:
            self._patience = Patience()

    def check(self, name: str) -> Checked | Crashed | Faulty:
        """Make one check of the adapter; the host is started if it does not run.

        Raises:
            UnstartedError: the host has never started.
        """
        with self._lock:
            self.implementation  # noqa: B018  (its error is the same for every check)
            request = Frame(_encode(Check(name)))
            return self._answered(lambda: self._ask(request, Checked, self._time_limit)[0])

    def _asked(self, case: Case) -> Observation | Crashed | Faulty:
        request, limit = _request(case), self._time_limit * longer(case)
        return self._answered(lambda: observation_of(*self._ask(request, Ran, limit), calls=len(case.program)))

    def _answered(self, ask: Callable[[], T]) -> T | Crashed | Faulty:
        """Return what is answered, or what prevented it."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return ask()
            except _NotRestartedError as error:
                if error.from_outside and attempt < _ATTEMPTS and not self._aborted:
                    continue
                return Faulty(f"the host does not start again: {error}")
            except (HostTimedOut, HostOutgrew) as error:
                what = "did not answer" if isinstance(error, HostTimedOut) else "took its host down"
                return Crashed(f"the implementation {what}: {error}", again=False)
            except HostDied as error:
                # Who else ends a host says nothing of the implementation: the next host is asked.
                if error.from_outside and attempt < _ATTEMPTS and not self._aborted:
                    continue
                often = f", {attempt} times; the machine may have run out of memory" if error.from_outside else ""
                return Crashed(f"the implementation took its host down: {error}{often}", again=not often)
            except HostError as error:
                return Faulty(f"the host does not keep to the protocol: {error}")
            except Fault as fault:
                return Faulty(told(fault.failure))
        raise AssertionError("the last attempt returns")

    def observe_apart(self, case: Case) -> Observation | Crashed | Faulty | None:
        """Put a case in doubt once more, to a second host, which is asked nothing but such cases.

        Returns ``None`` where that is not to be had: without a process, or of the ninth crash, when what
        was asked again crashed always.
        """
        with self._lock:
            if self._in_process or self._aborted or self._doubts >= _DOUBTS:
                return None
            if self._apart is None:
                self._apart = HostSession(
                    self.adapter, time_limit=self._time_limit, start_limit=self._start_limit, device=self._device,
                    host=self._host, memory_limit=self._memory_limit,
                )  # fmt: skip
        try:
            seen = self._apart.observe(case)
        except AdapterError as error:  # it started once: the machine is at fault
            return Faulty(str(error))
        self._doubts = self._doubts + 1 if isinstance(seen, Crashed) else 0
        if not isinstance(seen, Crashed):
            self._patience = Patience()
        return seen

    def close(self) -> None:
        """End the host. The session can be used again, and starts another."""
        with self._lock:
            if self._channel is not None:
                self._channel.send_and_close(_EXIT)
                self._channel = None
            if self._scratch is not None:
                self._scratch.cleanup()
                self._scratch = None
            if self._apart is not None:
                self._apart.close()
                self._apart = None

    def abort(self) -> None:
        """Kill the host at once; a thread that waits for its answer gets a crash instead of it."""
        self._aborted = True  # before the channel is read: a thread that is starting one looks at this after it
        channel, apart = self._channel, self._apart
        if channel is not None:
            channel.close()
        if apart is not None:
            apart.abort()

    def _first_start(self) -> str | None:
        """Start, and return what went wrong, or ``None``."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._running()
            except HostError as error:
                if isinstance(error, HostDied) and error.from_outside and attempt < _ATTEMPTS and not self._aborted:
                    continue
                return f"{self._who()}: the host does not start: {error.args[0]}"
            except Fault as fault:
                return f"{self._who()}: {told(fault.failure)}"
            return None
        raise AssertionError("the last attempt returns")

    def _who(self) -> str:
        return f"adapter {self.adapter}" if self._host is None else f"{self._host.place}: host {self.adapter}"

    def _hint(self) -> str:
        if self._host is not None:
            return f"it is started in {self._host.directory} by: {shlex.join(self._host.command)}"
        if not self._spec.is_installed:
            return f"install what it needs: {self._spec.remedy}"
        return "its maker can try: " + _TRY.format(self.adapter)

    def _running(self) -> _Channel:
        if self._channel is None or not self._channel.is_alive:
            if self._channel is not None:
                self._channel.close()  # others have killed it: it is still to be reaped
                self._channel = None
            self._refuse_aborted()
            self._channel = self._start()
            try:
                self._refuse_aborted()
                described, _ = answer_of(self._channel.request(_DESCRIBE, self._start_limit), Described)
            except (HostError, Fault):
                self._channel.send_and_close(_EXIT)
                self._channel = None
                raise
            who, title = described.implementation, self._host.title if self._host is not None else ""
            self._implementation = replace(who, title=title) if title else who
            self._defaults = described.defaults
        return self._channel

    def _refuse_aborted(self) -> None:
        if self._aborted:
            raise HostDied("the session was aborted")

    def _start(self) -> _Channel:
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True)
        environment = host_environment(self._device, Path(self._scratch.name))
        if self._in_process:
            return InProcess(Service(partial(load, self._spec)), environment)
        if self._host is not None:
            environment |= self._host.environment
            return Host(self._host.command, environment, self._time_limit, self._memory_limit, self._host.directory)
        command = (sys.executable, "-m", "conformance.host.worker", self.adapter)
        return Host(command, environment, self._time_limit, self._memory_limit)

    def _ask(self, frame: Frame, kind: type[T], time_limit: float) -> tuple[T, Frame]:
        try:
            channel = self._running()
        except (HostError, Fault) as error:
            raise _NotRestartedError(error) from error
        return answer_of(channel.request(frame, time_limit), kind)


class _NotRestartedError(Exception):
    """The host did not start again: no fault of the case that it was to be asked."""

    def __init__(self, error: HostError | Fault) -> None:
        super().__init__(told(error.failure) if isinstance(error, Fault) else str(error))
        self.from_outside = isinstance(error, HostDied) and error.from_outside
