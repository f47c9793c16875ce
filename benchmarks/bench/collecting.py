"""How long pytest takes to collect the corpus for the default implementations.

``pytest cases --collect-only -q`` in a process of its own, start of Python and pytest included: the median of three.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median


def measure() -> dict[str, float]:
    """Return the figure."""
    return {"collect_seconds": median(_once() for _ in range(3))}


def _once() -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "cases", "--collect-only", "-q"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start
