"""The time limit of a case, checked alike on the command line and in pytest."""

from __future__ import annotations

from conformance.errors import UsageError

__all__ = ["check_time_limit"]

#: A day: more than any case may take, and far below what the operating system can wait for.
LONGEST = 86400.0


def check_time_limit(seconds: float) -> None:
    """Refuse a limit that is no positive number of seconds.

    Raises:
        UsageError: says what was found.
    """
    if not 0 < seconds <= LONGEST:
        raise UsageError(
            f"--time-limit is {seconds:g}, expected a number of seconds above 0", hint=f"at most {LONGEST:g}, a day"
        )
