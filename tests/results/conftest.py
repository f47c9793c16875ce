"""Small results, made to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from conformance.results.read import Results
from conformance.results.rows import CaseRow, CellRow, ImplementationRow, QuantityRow, RunRow, Verdict

Maker = Callable[..., Results]


def make(
    verdicts: Mapping[tuple[str, str], Verdict],
    *,
    complete: bool = True,
    digest: str = "d1",
    text: str = "fact",
    selection: str = "",
    dialect: str = "sample",
    variant: str | None = None,
) -> Results:
    """Return results with a cell per entry, keyed by case and implementation id."""
    cases = tuple(CaseRow(id=case, fact=text, clauses=("3.2",)) for case in dict.fromkeys(case for case, _ in verdicts))
    implementations = tuple(
        ImplementationRow(
            id=identifier,
            name=identifier.partition("@")[0],
            versions={"package": identifier.partition("@")[2].partition(":")[0]},
            dialect={"running_variance": dialect},
        )
        for identifier in dict.fromkeys(identifier for _, identifier in verdicts)
    )
    cells = tuple(
        CellRow(
            case=case,
            implementation=identifier,
            verdict=verdict,
            quantities=(QuantityRow(step=1, name="y", clause="3.2", verdict=verdict, variant=variant, ratio=0.5),),
        )
        for (case, identifier), verdict in verdicts.items()
    )
    run = RunRow(
        suite="0.1.0", started="2026-01-01T00:00:00Z", machine={"system": "Linux"}, cases_digest=digest, cases=cases,
        implementations=implementations, selection=selection,
    )  # fmt: skip
    return Results(run=run, cells=cells, complete=complete, seconds=2.0 if complete else 0.0)


@pytest.fixture
def results() -> Maker:
    return make
