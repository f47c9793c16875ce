"""The limits of time and memory, checked alike on the command line and in pytest."""

from __future__ import annotations

import math
import os

from conformance.errors import UsageError

__all__ = ["check_memory_limit", "check_time_limit", "default_memory_limit"]

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


def default_memory_limit() -> float:
    """Return the memory of the machine in GiB, rounded down to a half: what is more than that cannot go well."""
    return max(0.5, math.floor(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**29) / 2)


def check_memory_limit(gibibytes: float) -> None:
    """Refuse a limit that is no positive, finite number of GiB.

    Raises:
        UsageError: says what was found.
    """
    if not 0 < gibibytes < math.inf:
        raise UsageError(f"--memory-limit is {gibibytes:g}, expected a number of GiB above 0")
