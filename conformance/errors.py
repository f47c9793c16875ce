"""One exception for each step of the lifecycle, each saying where, what was expected, what to do."""

from __future__ import annotations

from typing import Any

__all__ = [
    "AdapterError", "CaseError", "ClusterError", "ConformanceError", "DeviationError", "HostError", "ResultsError",
    "UnstartedError", "UsageError",
]  # fmt: skip


#: Characters of a line of a message, and of a message, that are still read.
_LINE, _LONGEST = 2000, 20_000


class ConformanceError(Exception):
    """Something a user can mend; its text is one message, ready for the terminal.

    What it quotes may be anything: what cannot be printed is shown as its escape, what is very long is cut.

    Args:
        message: where it went wrong, what was found and what was expected.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(readable(message))
        self.hint = readable(hint)

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}\n  hint: {self.hint}" if self.hint else message


def readable(text: str) -> str:
    """Return the text as a terminal can show it: escapes for what cannot be printed, the middle of a long line cut."""
    lines = ["".join(one if one.isprintable() else ascii(one)[1:-1] for one in line) for line in text.split("\n")]
    return "\n".join(_cut(line, _LINE) for line in lines)[:_LONGEST]


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"


class UsageError(ConformanceError):
    """An option or argument of a command does not fit."""


class CaseError(ConformanceError):
    """A case file is malformed; the message starts with ``file:line:column``."""


class AdapterError(ConformanceError):
    """An adapter cannot be found, imported or understood."""


class UnstartedError(AdapterError):
    """The host of an implementation does not start; others go on without it.

    Args:
        adapter: the name by which it was asked for.
        message: where it went wrong, what was found and what was expected.
        hint: what to do about it.
    """

    def __init__(self, adapter: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.adapter = adapter

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep what an exception's own way of being pickled forgets: a cluster's workers raise it, too."""
        return _unstarted, (self.adapter, self.args[0], self.hint)


def _unstarted(adapter: str, message: str, hint: str) -> UnstartedError:
    return UnstartedError(adapter, message, hint=hint)


class HostError(ConformanceError):
    """A host cannot be started or does not speak the protocol."""


class ClusterError(ConformanceError):
    """A cluster cannot do what is left to do."""


class ResultsError(ConformanceError):
    """A results file is malformed, or files do not fit together."""


class DeviationError(ConformanceError):
    """A recorded deviation is malformed, matches nothing or too much."""
