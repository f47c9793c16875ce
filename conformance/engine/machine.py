"""The machine and the suite, as the first row of a results file tells them."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from conformance import __version__
from conformance.corpus.case import Case
from conformance.corpus.digest import digest
from conformance.corpus.inputs import generate
from conformance.definition.clauses import CLAUSES
from conformance.definition.dialect import choices, options
from conformance.definition.variants import VARIANTS, option_name
from conformance.results.rows import CaseRow, ChoiceRow, DeviationRow, InputRow, RunRow, number
from conformance.verdict.deviations import Deviation

__all__ = ["case_row", "machine", "run_row"]

#: So many values of an input are kept for reading, of cases whose ``x`` has at most so many.
_SHOWN, _LARGE = 8, 100_000


def machine() -> dict[str, str]:
    """Return operating system, processor, core count and Python."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(os.cpu_count() or 1),
        "python": platform.python_version(),
    }


def run_row(
    cases: Sequence[Case], *, corpus: Sequence[Case], not_installed: dict[str, str], selection: str = "",
    deviations: Sequence[Deviation] = (),
) -> RunRow:  # fmt: skip
    """Return the first row of a run of ``cases`` out of ``corpus``; its columns are still unknown.

    ``deviations`` are the recorded ones that the run is held to.
    """
    return RunRow(
        suite=__version__,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine(),
        cases_digest=digest(corpus),
        cases=tuple(case_row(case) for case in cases),
        implementations=(),
        not_installed=not_installed,
        selection=selection,
        clauses={
            clause.number: {
                "area": clause.area,
                **{field.name: getattr(clause, field.name) for field in fields(clause) if field.name != "number"},
            }
            for clause in CLAUSES.values()
        },
        deviations={record.name: _deviation_row(record) for record in deviations},
        variants={name: variant.sentence for name, variant in VARIANTS.items()},
        choices={choice: _choice_row(choice, clause) for choice, clause in choices().items()},
    )


def _choice_row(choice: str, clause: str) -> ChoiceRow:
    named = {option: VARIANTS.get(option_name(choice, option)) for option in options(choice)}
    return ChoiceRow(
        clause=clause, options={option: variant.sentence if variant else "" for option, variant in named.items()}
    )


def _deviation_row(record: Deviation) -> DeviationRow:
    return DeviationRow(
        implementation=record.implementation, versions=record.versions, variants=record.variants,
        raises=record.error, reason=record.reason, proof=record.proof, upstream=record.upstream,
    )  # fmt: skip


def case_row(case: Case) -> CaseRow:
    """Return what the report tells of a case: every field that is not the default."""
    source: dict[str, Any] = {
        field.name: msgspec.to_builtins(getattr(case, field.name))
        for field in msgspec.structs.fields(case)
        if field.required or getattr(case, field.name) != _default(field)
    }
    for told_elsewhere in ("id", "fact", "clauses"):
        source.pop(told_elsewhere)
    source.setdefault("shape", case.shape)
    source.setdefault("dtype", case.dtype)
    return CaseRow(id=case.id, fact=case.fact, clauses=case.clauses, source=source, inputs=_inputs(case))


def _inputs(case: Case) -> dict[str, InputRow]:
    """Return the beginnings of the arrays; none of a case so large that making them takes time."""
    if math.prod(int(length) for length in case.shape.split("x")) > _LARGE:
        return {}
    return {
        name: InputRow(
            dtype=array.dtype.name, shape=array.shape,
            values=tuple(number(float(f"{float(value):.7g}")) for value in array.reshape(-1)[:_SHOWN]),
        )
        for name, array in generate(case).items()
    }  # fmt: skip


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
