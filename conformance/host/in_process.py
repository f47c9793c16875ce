"""A host without a process, for debuggers and for the canary."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import final

from conformance.host.frames import Frame
from conformance.host.service import Service

__all__ = ["InProcess"]


@final
class InProcess:
    """Answers in this very process, which has the environment of a host until this is closed."""

    is_alive = True

    def __init__(self, service: Service, environment: Mapping[str, str]) -> None:
        self._service = service
        self._before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)

    def request(self, frame: Frame, time_limit: float | None = None) -> Frame:  # noqa: ARG002
        """Return the answer; there is no limit to what it takes."""
        answer = self._service.answer(frame)
        assert answer is not None
        return answer

    def send_and_close(self, frame: Frame) -> None:
        """Serve a last message, and close."""
        self._service.answer(frame)
        self.close()

    def close(self) -> None:
        """Put the environment back; there is no process to kill."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
