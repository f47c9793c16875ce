"""One request ahead: a host is given the next case while the answer to the last one is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.corpus.case import Case
from conformance.host.observation import Crashed, Faulty, Observation

__all__ = ["Ahead"]


@dataclass
class Ahead:
    """The case whose request was sent and whose answer has not been asked for, or the answer, once it was read.

    ``marks`` says that the host was seen to mark its answers, so that a late one is not taken for that to a later
    request; ``failed`` that it went wrong once at a request sent ahead.
    """

    marks: bool = False
    failed: bool = False
    _case: Case | None = field(default=None)
    _kept: tuple[Case, Observation | Crashed | Faulty] | None = field(default=None)

    @property
    def is_open(self) -> bool:
        """Tell whether a request can be sent ahead."""
        return self.marks and not self.failed and self._case is None

    def sent(self, case: Case) -> None:
        """Note that the request of a case has been sent."""
        self._case = case

    def take(self) -> Case | None:
        """Return the case whose answer is to be read, if there is one, and forget it."""
        case, self._case = self._case, None
        return case

    def keep(self, case: Case, seen: Observation | Crashed | Faulty) -> None:
        """Keep what came of a case until it is asked for."""
        self._kept = case, seen

    def early(self, case: Case) -> Observation | Crashed | Faulty | None:
        """Return what came of this very case, once; ``None`` if it was not asked ahead."""
        if self._kept is None or self._kept[0] is not case:
            return None
        seen, self._kept = self._kept[1], None
        return seen
