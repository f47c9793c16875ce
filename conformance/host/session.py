"""A session with one adapter: puts cases to its host, and tells what came back, or what prevented it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar, final

import msgspec

from conformance.adapters.contract import Defaults, Implementation
from conformance.adapters.registry import AdapterSpec, find
from conformance.corpus.at_hand import AtHand
from conformance.corpus.case import Case
from conformance.corpus.inputs import inputs_of
from conformance.corpus.work import longer
from conformance.errors import AdapterError, HostError, UnstartedError
from conformance.host.ahead import Ahead
from conformance.host.answers import Fault, answer_of, observation_of, told
from conformance.host.client import Host, HostDied, HostMixedUp, HostOutgrew, HostTimedOut
from conformance.host.configuration import ConfiguredHost
from conformance.host.frames import Frame
from conformance.host.keeper import ATTEMPTS, Keeper, NotRestartedError, Wanted
from conformance.host.messages import Check, Checked, Ran, Run
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.patience import Patience

__all__ = ["START_LIMIT", "HostSession"]

#: So many crashes are asked about again, apart.
_DOUBTS = 8
#: Seconds for a host to start: importing a framework on a busy machine takes most of a minute.
START_LIMIT = 180.0

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
# The request of a case is the same for every host, and so are its bytes. By the token an answer says whose it is.
_request = AtHand(
    lambda case: Frame(_encode(Run.of(case)), inputs_of(case), token=case.id),
    lambda frame: 2 * len(frame.image), room=16 * 2**20,
)  # fmt: skip


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
        self.adapter, self._time_limit, self._start_limit = adapter, time_limit, start_limit
        self._keeper = Keeper(Wanted(
            adapter=adapter, spec=AdapterSpec(adapter, "") if host is not None else find(adapter), host=host,
            time_limit=time_limit, start_limit=start_limit if host is None else host.start_limit,
            memory_limit=memory_limit, device=device, in_process=in_process and host is None,
        ))  # fmt: skip
        self._patience, self._ahead = Patience(), Ahead()
        self._refusal: str | None = None
        self._apart: HostSession | None = None
        self._doubts = 0
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
            if self._keeper.implementation is None:
                if self._refusal is None:
                    self._refusal = self._keeper.first_start()
                if self._refusal is not None:
                    raise UnstartedError(self.adapter, self._refusal, hint=self._keeper.hint())
            assert self._keeper.implementation is not None
            return self._keeper.implementation

    @property
    def defaults(self) -> Defaults | None:
        """Return what the implementation takes where its user says nothing, where its adapter tells.

        Raises:
            UnstartedError: as ``implementation`` does.
        """
        _ = self.implementation
        return self._keeper.defaults

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        """Put a case and return what came back; the host is started if it does not run.

        Where ``Patience`` is at its end a case is not asked, and has crashed.

        Raises:
            UnstartedError: the host has never started.
        """
        with self._lock:
            self.implementation  # noqa: B018  (its error is the same for every case)
            if not self._patience.asks():
                started = self._keeper.channel is not None
                return Crashed(self._patience.why, again=False) if started else Faulty(self._patience.why_not_started)
            start = time.monotonic()
            self._collect()
            seen = self._ahead.early(case) or self._asked(case)
            if isinstance(seen, Crashed) or self._keeper.channel is None:
                self._patience.failed(time.monotonic() - start)
            else:
                self._patience = Patience()
            return seen

    def ask_ahead(self, case: Case) -> None:
        """Send the request of the case that is observed next, so that the host need not wait for it.

        No more than an attempt: where nothing can be sent yet, the case is asked when it is observed. So it is with a
        host that does not mark its answers by the token of the request, or has once said something else when its answer
        was due: a late word on one case must not be taken for the answer to the next.
        """
        with self._lock:
            channel = self._keeper.channel
            if not isinstance(channel, Host) or self._keeper.aborted:
                return
            if self._patience.crashes or not self._ahead.is_open:
                return
            try:
                channel.send(_request(case), self._time_limit * longer(case))
            except HostError:  # it is closed, and another one asked
                return
            self._ahead.sent(case)

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
            self._collect()
            request = Frame(_encode(Check(name)))
            return self._answered(lambda: self._ask(request, Checked, self._time_limit)[0])

    def _asked(self, case: Case) -> Observation | Crashed | Faulty:
        request, limit = _request(case), self._time_limit * longer(case)

        def ask() -> Observation:
            ran, frame = self._ask(request, Ran, limit)
            self._ahead.marks = frame.token == request.token
            return observation_of(ran, frame, calls=len(case.program))

        return self._answered(ask)

    def _collect(self) -> None:
        """Read the answer to what was sent ahead, and keep it. If there is none, the case is still to be asked."""
        case, channel = self._ahead.take(), self._keeper.channel
        if case is None or not isinstance(channel, Host):
            return
        try:
            ran, frame = self._read(channel.receive(self._time_limit * longer(case)), _request(case), Ran)
            seen: Observation | Crashed | Faulty = observation_of(ran, frame, calls=len(case.program))
        except (HostTimedOut, HostOutgrew) as error:
            seen = _crashed(error)
        except HostDied as error:
            if error.from_outside:
                return
            seen = _died(error)
        except Fault as fault:
            seen = Faulty(told(fault.failure))
        except HostError:  # a late word on the case before it, perhaps: asked in turn, each is told apart
            channel.close()
            self._ahead.failed = True
            return
        self._ahead.keep(case, seen)

    def _answered(self, ask: Callable[[], T]) -> T | Crashed | Faulty:
        """Return what is answered, or what prevented it."""
        for attempt in range(1, ATTEMPTS + 1):
            again = attempt < ATTEMPTS and not self._keeper.aborted
            try:
                return ask()
            except NotRestartedError as error:
                if error.from_outside and again:
                    continue
                return Faulty(f"the host does not start again: {error}")
            except (HostTimedOut, HostOutgrew) as error:
                return _crashed(error)
            except HostDied as error:
                # Who else ends a host says nothing of the implementation: the next host is asked.
                if error.from_outside and again:
                    continue
                return _died(error, attempt)
            except HostError as error:
                if isinstance(error, HostMixedUp) and again:
                    continue
                return Faulty(f"the host does not keep to the protocol: {error}")
            except Fault as fault:
                return Faulty(told(fault.failure))
        raise AssertionError("the last attempt returns")

    def observe_apart(self, case: Case) -> Observation | Crashed | Faulty | None:
        """Put a case in doubt once more, to a second host, which is asked nothing but such cases.

        Returns ``None`` where that is not to be had: without a process, or of the ninth crash, when what
        was asked again crashed always.
        """
        wanted = self._keeper.wanted
        with self._lock:
            if wanted.in_process or self._keeper.aborted or self._doubts >= _DOUBTS:
                return None
            if self._apart is None:
                self._apart = HostSession(
                    self.adapter, time_limit=self._time_limit, start_limit=self._start_limit, device=wanted.device,
                    host=wanted.host, memory_limit=wanted.memory_limit,
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
            # One that is at work on what nobody will read is not waited for.
            self._keeper.close(at_once=self._ahead.take() is not None)
            self._ahead = Ahead()
            if self._apart is not None:
                self._apart.close()
                self._apart = None

    def abort(self) -> None:
        """Kill the host at once; a thread that waits for its answer gets a crash instead of it."""
        self._keeper.abort()
        if (apart := self._apart) is not None:
            apart.abort()

    def _ask(self, frame: Frame, kind: type[T], time_limit: float) -> tuple[T, Frame]:
        return self._read(self._keeper.running().request(frame, time_limit), frame, kind)

    def _read(self, answer: Frame, request: Frame, kind: type[T]) -> tuple[T, Frame]:
        if answer.token not in ("", request.token):
            if (channel := self._keeper.channel) is not None:
                channel.close()
            raise HostMixedUp(f"it answers with the token {answer.token[:80]!r}, expected {request.token!r}")
        return answer_of(answer, kind)


def _died(error: HostDied, attempts: int = 1) -> Crashed:
    often = f", {attempts} times; the machine may have run out of memory" if error.from_outside else ""
    return Crashed(f"the implementation took its host down: {error}{often}", again=not often)


def _crashed(error: HostTimedOut | HostOutgrew) -> Crashed:
    what = "did not answer" if isinstance(error, HostTimedOut) else "took its host down"
    return Crashed(f"the implementation {what}: {error}", again=False)
