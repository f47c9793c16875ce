"""How long the default run takes: ``conformance run --workers 2``, report included, as ``make report`` calls it.

Cold: with an empty cache of compiled programs. Warm: once more, with what the first one left there. The cores are
those of the machine, two workers drive the hosts; the files of the frameworks may be in the system's cache either
time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from conformance.results.read import RESULTS_NAME, survey


def measure() -> dict[str, float]:
    """Return the figures."""
    with TemporaryDirectory(prefix="bench-") as folder:
        cold, warm = _once(Path(folder)), _once(Path(folder))
        cells = len(survey(Path(folder) / "results" / RESULTS_NAME).verdicts)
    return {"default_run_seconds_cold": cold, "default_run_seconds_warm": warm, "default_run_cells": cells}


def _once(folder: Path) -> float:
    command = [sys.executable, "-m", "conformance", "run", "--workers=2", "--quiet", f"--output={folder / 'results'}"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)  # noqa: S603
    if done.returncode > 1:  # 1: an implementation differs
        raise RuntimeError(f"the run ended with {done.returncode}")
    return time.perf_counter() - start
