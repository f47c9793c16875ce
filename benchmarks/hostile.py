"""Feeds hostile input to everything that reads what others wrote: 200,000 inputs unless told otherwise.

Each is refused with an error of the suite's own, or read; nothing else is raised, nothing is run, and this process
does not grow. A failure is shrunk by Hypothesis and printed. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path

from conformance.trial.hostile import TARGETS, attack

#: Inputs from one seed: what Hypothesis remembers grows with them.
_BLOCK = 1000


def main() -> None:
    """Attack each target in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000, help="for all targets together")
    parser.add_argument("--target", choices=TARGETS, help="this one only")
    parser.add_argument("--first", type=int, default=0, help="where a part begins in the inputs of each target")
    options = parser.parse_args()
    names = [options.target] if options.target else list(TARGETS)
    each = -(-options.inputs // len(names))
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for name in names:
            start, fed = time.perf_counter(), 0
            while fed < each:
                fed += attack(TARGETS[name], min(_BLOCK, each - fed), Path(folder), start=options.first + fed)
            taken = time.perf_counter() - start
            print(f"{name:20} {fed:7,} inputs in {taken:5.0f} s; peak memory {_peak():.0f} MiB", flush=True)


def _peak() -> float:
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    main()
