"""Puts random cases to honest implementations and prints how far inside the bounds they stay.

20,000 cases take about four minutes on one core; ``--cases 500`` takes less, ``--write`` also quotes the
tables in docs/bounds.md.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from conformance.trial.accusations import Measured, trial

DTYPES = ("float64", "float32", "float16", "bfloat16")
QUANTITIES = (
    "y", "running_mean", "running_var", "dx", "dgamma", "dbeta", "drunning_mean", "drunning_var", "dx_earlier",
)  # fmt: skip
PAGE = Path(__file__).resolve().parents[1] / "docs" / "bounds.md"
START, END = "<!-- trial: start -->\n", "<!-- trial: end -->"


class Tally:
    """The largest ratios by quantity, dtype and order of operations, and the accusations."""

    def __init__(self) -> None:
        self.measured = 0
        self.accused: list[Measured] = []
        self.plain: dict[tuple[str, str, str], float] = defaultdict(float)
        self.tight: dict[tuple[str, str, str], float] = defaultdict(float)

    def add(self, one: Measured) -> None:
        """Count one measurement."""
        self.measured += 1
        if one.accused:
            self.accused.append(one)
        for kind, option in one.labels():
            key = (one.quantity, kind, option)
            self.plain[key] = max(self.plain[key], one.plain)
            if kind == "dtype" and one.orders.good:
                self.tight[key] = max(self.tight[key], one.tight)

    def by_dtype(self, ratios: dict[tuple[str, str, str], float]) -> str:
        """Return a table: quantities down, dtypes across."""
        rows = [[name, *(f"{ratios[name, 'dtype', dtype]:.2f}" for dtype in DTYPES)] for name in QUANTITIES]
        return _table(["quantity", *DTYPES], rows)

    def by_order(self) -> str:
        """Return a table: orders of operations down, quantities across."""
        orders = sorted({key[1:] for key in self.plain if key[1] != "dtype"})
        rows = [
            [f"{kind}: {option}", *(f"{self.plain[name, kind, option]:.2f}" for name in QUANTITIES)]
            for kind, option in orders
        ]
        return _table(["order of operations", *QUANTITIES], rows)


def text(tally: Tally, cases: int, implementations: int, seed: int) -> str:
    """Return the report as Markdown."""
    return f"""
Made by `python benchmarks/bounds_trial.py --cases {cases} --seed {seed} --write` with NumPy {np.__version__}:
{cases:,} random cases, each on {implementations} random honest implementations, {tally.measured:,} quantities;
accused: **{len(tally.accused)}**.

Largest error over the **plain** bound, all implementations:

{tally.by_dtype(tally.plain)}

Largest error over the **tight** bound, for pairwise sums, two passes, nothing folded:

{tally.by_dtype(tally.tight)}

Largest error over the plain bound by order of operations, all dtypes:

{tally.by_order()}
"""


def main() -> int:
    """Run the trial; return 1 if an honest implementation is accused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--implementations", type=int, default=4, help="honest implementations for each case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="quote the tables in docs/bounds.md")
    options = parser.parse_args()
    tally, start = Tally(), time.perf_counter()
    for one in trial(options.cases, options.implementations, options.seed):
        tally.add(one)
    report = text(tally, options.cases, options.implementations, options.seed)
    print(report, f"\n{time.perf_counter() - start:.0f} s")
    for one in sorted(tally.accused, key=lambda one: -one.plain)[:10]:
        print(f"ACCUSED {one.quantity} {one.plain:.3g} of the plain bound by {one.orders} on {one.case}")
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
        PAGE.write_text(f"{before}{START}{report}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 1 if tally.accused else 0


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    raise SystemExit(main())
