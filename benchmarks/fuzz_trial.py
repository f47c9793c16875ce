"""Puts the fuzzer on trial: it must find every variant, and accuse neither the canary nor honest implementations.

Each variant of the oracle is searched for in 2,000 drawn cases at most; 100,000 cases are put to the canary, and to
honest implementations, whose order of operations changes from block to block. ``--variants`` and ``--honest``
do one of the two only; ``--examples`` draws fewer. About twenty minutes of one core. With ``--record FILE`` each
block of 1,000 cases that honest implementations went through is kept there, and is not done again: the trial can be
ended at any time, and several may do blocks of their own (``--first``) at once.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

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


def honest(blocks: range, record: Path | None) -> list[str]:
    """Put blocks of cases to the canary and to honest implementations, and return what accuses them."""
    done: dict[int, dict[str, Any]] = {}
    for block in blocks:
        done |= {row["block"]: row for row in _rows(record)}  # others may do blocks of their own meanwhile
        if block not in done:
            done[block] = _block(block)
            if record is not None:
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[block]) + "\n")
        print(_summary(done), flush=True)
    return [accused for row in done.values() for accused in row["accused"]]


def _block(block: int) -> dict[str, Any]:
    orders = Orders.drawn(random.Random(block), small=True)  # noqa: S311  (no secret)
    found = search(Direct(own.Adapter()), Direct(HonestAdapter(orders)), examples=BLOCK, start=block)
    accused = [] if found.witness is None else [f"ACCUSED {found.witness}; orders of the honest: {orders}"]
    return {"block": block, "cases": found.examples, "cells": dict(found.verdicts), "accused": accused}


def _rows(record: Path | None) -> list[dict[str, Any]]:
    if record is None or not record.exists():
        return []
    return [json.loads(line) for line in record.read_text("utf-8").splitlines()]


def _summary(done: dict[int, dict[str, Any]]) -> str:
    cells = Counter[str]()
    for row in done.values():
        cells.update(row["cells"])
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in cells.most_common())
    accusations = sum(len(row["accused"]) for row in done.values())
    cases = sum(row["cases"] for row in done.values())
    return f"{cases:,} cases in {len(done)} blocks, {accusations} accusations; cells: {told}"


def main() -> int:
    """Run the trial; return 1 if a variant is missed or somebody honest is accused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", action="store_true", help="the variants only")
    parser.add_argument("--honest", action="store_true", help="the honest only")
    parser.add_argument("--variant", action="append", default=[], help="this variant; repeatable")
    parser.add_argument("--examples", type=int, help="cases for each (default: 2,000 for variants, 100,000 for honest)")
    parser.add_argument("--first", type=int, default=0, help="the honest from this case on, a multiple of 1,000")
    parser.add_argument("--record", type=Path, help="a file that keeps the blocks which the honest went through")
    options = parser.parse_args()
    start, missed, accused = time.perf_counter(), [], []
    if not options.honest:
        missed = variants(options.examples or 2000, options.variant or list(VARIANTS))
    if not options.variants and not options.variant:
        accused = honest(range(options.first // BLOCK, -(-(options.examples or 100_000) // BLOCK)), options.record)
    print(f"{len(missed)} variants missed: {', '.join(missed) or 'none'}; {len(accused)} accusations; "
          f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    return 1 if missed or accused else 0


if __name__ == "__main__":
    raise SystemExit(main())
