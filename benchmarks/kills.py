"""Kills runs at random moments, 200 times unless told otherwise, and prints what each kill found.

Controllers and hosts are killed, and with Dask installed the workers of a cluster, on which every other run is made.

After every kill the file is read, and must hold every cell that it held before, byte for byte and once; every run
is resumed until it is complete, and must then be what an undisturbed run wrote. About four minutes on two cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections import Counter

from conformance.trial.kills import trial


def main() -> None:
    """Run the trial; whatever a kill costs ends it with an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    clusters = importlib.util.find_spec("distributed") is not None
    start, counts = time.perf_counter(), Counter[str]()
    for number, killed in enumerate(trial(options.kills, options.seed, clusters=clusters), start=1):
        counts[killed.what] += 1
        print(f"{number}: {killed.what} after {killed.after:.2f} s, {killed.cells} cells kept", flush=True)
    told = ", ".join(f"{count} of a {what}" for what, count in sorted(counts.items()))
    print(f"{counts.total()} kills ({told}) in {time.perf_counter() - start:.0f} s: nothing was lost")


if __name__ == "__main__":
    main()
