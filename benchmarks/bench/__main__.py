"""Measures the figures of the suite's speed, prints them beside their targets and writes ``reports/bench.json``.

Each figure is measured in a process of its own, and written as soon as it is known: one that fails costs no other,
and ``--only NAME`` measures one again and keeps the rest. Under 15 minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.bench.figures import FIGURES, told
from conformance.engine.machine import machine

#: What decides the figures beside the suite itself.
_PACKAGES = ("numpy", "torch", "tensorflow-cpu", "keras", "jax", "flax", "onnx")
_LIMIT = 1200


def main() -> int:
    """Measure, print and write; return 1 if a figure could not be measured or misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=FIGURES, help="this figure; repeatable")
    parser.add_argument("--output", type=Path, default=Path("reports/bench.json"), metavar="FILE")
    parser.add_argument("--note", default="", help="what is to be known of the machine, such as what else it does")
    options = parser.parse_args()
    bench: dict[str, Any] = json.loads(options.output.read_text("utf-8")) if options.output.exists() else {}
    bench |= {"machine": described(), "versions": versions(), "note": options.note}
    start = time.monotonic()
    for name in options.only or FIGURES:
        began = time.monotonic()
        figures, why = measured(name)
        bench |= figures
        keep(bench, "failed", name, why)
        keep(bench, "measured", name, f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}" if why is None else None)
        write(bench, options.output)
        print(f"{name}: {why or 'measured'} ({time.monotonic() - began:.0f} s)", flush=True)
    lines, missed = table(bench)
    print("\n".join(["", *lines, "", f"{options.output}, after {time.monotonic() - start:.0f} s"]))
    return 1 if missed or bench.get("failed") else 0


def measured(name: str) -> tuple[dict[str, float], str | None]:
    """Return the figures of a module, measured in a process of its own, and why there are none."""
    program = f"import json; from benchmarks.bench import {name} as one; print(); print(json.dumps(one.measure()))"
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return {}, f"took longer than {_LIMIT} s"
    if done.returncode:
        return {}, (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures, None


def keep(bench: dict[str, Any], where: str, name: str, value: str | None) -> None:
    """Set what is known of a figure, or forget it."""
    told_before = {key: one for key, one in bench.get(where, {}).items() if key in FIGURES and key != name}
    bench[where] = told_before | ({} if value is None else {name: value})


def write(bench: dict[str, Any], file: Path) -> None:
    """Write the figures known so far, in one move."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(bench, indent=2) + "\n", encoding="utf-8")
    beside.replace(file)


def table(bench: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the figures as lines, and the names of those that miss their target."""
    lines, missed = [], []
    for name, targets in FIGURES.items():
        for key, target in targets.items():
            value = bench.get(key)
            if value is None or name in bench.get("failed", {}):
                lines.append(f"{key:34} {'–':>10}        not measured")
                continue
            reached = target.reached(value)
            missed += [] if reached else [key]
            aim = f"{target.text}{'' if reached else ': MISSED'}"
            lines.append(f"{key:34} {told(value):>10} {target.unit:6} {aim:22} {target.what}")
    return lines, missed


def described() -> dict[str, str]:
    """Return the machine that figures are of."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    gibibytes = int(fields["MemTotal"].split()[0]) / 2**20
    return machine() | {"memory": f"{gibibytes:.0f} GiB"}


def versions() -> dict[str, str]:
    """Return the versions of what is installed of the packages that matter."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    raise SystemExit(main())
