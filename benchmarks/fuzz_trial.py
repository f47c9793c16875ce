"""Puts the fuzzer on trial: it must find every variant, and accuse neither the canary nor honest implementations.

Each variant of the oracle is searched for in 2,000 drawn cases at most; 100,000 cases are put to the canary, and to
honest implementations, whose order of operations changes from block to block. ``--variants`` and ``--honest``
do one of the two only; ``--examples`` draws fewer. About twenty minutes of one core.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter

from conformance.adapters import numpy as own
from conformance.definition.variants import VARIANTS
from conformance.fuzz.search import BLOCK, Direct, search
from conformance.trial.honest import HonestAdapter, Orders
from conformance.trial.mutants import Mutant


def variants(examples: int, names: list[str]) -> list[str]:
    """Search for each variant, and return the names of those that were not found."""
    missed = []
    for name in names:
        found = search(Direct(Mutant(name)), examples=examples, shrinking=False)
        print(f"{'found after' if found.witness else 'NOT FOUND in'} {found.examples:5} cases, "
              f"{found.seconds:5.1f} s: {name}", flush=True)  # fmt: skip
        if found.witness is None:
            missed.append(name)
    return missed


def honest(examples: int, first: int = 0) -> list[str]:
    """Put cases to the canary and to honest implementations, and return what accuses them."""
    accused, verdicts = [], Counter[str]()
    for block in range(first, examples, BLOCK):
        orders = Orders.drawn(random.Random(block), small=True)  # noqa: S311  (no secret)
        asked = Direct(own.Adapter()), Direct(HonestAdapter(orders))
        found = search(*asked, examples=min(BLOCK, examples - block), start=block)
        verdicts += found.verdicts
        if found.witness is not None:
            accused.append(f"ACCUSED {found.witness}; orders of the honest: {orders}")
            print(accused[-1], flush=True)
        told = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
        print(f"{block + found.examples:,} cases, {len(accused)} accusations; cells: {told}", flush=True)
    return accused


def main() -> int:
    """Run the trial; return 1 if a variant is missed or somebody honest is accused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", action="store_true", help="the variants only")
    parser.add_argument("--honest", action="store_true", help="the honest only")
    parser.add_argument("--variant", action="append", default=[], help="this variant; repeatable")
    parser.add_argument("--examples", type=int, help="cases for each (default: 2,000 for variants, 100,000 for honest)")
    parser.add_argument("--first", type=int, default=0, help="the honest from this case on, a multiple of 1,000")
    options = parser.parse_args()
    start, missed, accused = time.perf_counter(), [], []
    if not options.honest:
        missed = variants(options.examples or 2000, options.variant or list(VARIANTS))
    if not options.variants and not options.variant:
        accused = honest(options.examples or 100_000, options.first)
    print(f"{len(missed)} variants missed: {', '.join(missed) or 'none'}; {len(accused)} accusations; "
          f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    return 1 if missed or accused else 0


if __name__ == "__main__":
    raise SystemExit(main())
