"""What happens when the cells are there: the canary is asked, then the report is written."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from conformance.corpus.case import Case
from conformance.engine.adapters import CANARY
from conformance.engine.cell import cell_of
from conformance.errors import ConformanceError
from conformance.host.session import HostSession
from conformance.report.page import REPORT_NAME, write_report
from conformance.results.read import read_results
from conformance.results.rows import CellRow

__all__ = ["CanaryError", "publish", "refuse_if_canary_differs"]


class CanaryError(ConformanceError):
    """The oracle's own formulas were not confirmed: the suite is at fault."""

    exit_code = 3


def publish(results: Path, cases: Sequence[Case]) -> Path:
    """Write ``index.html`` beside a results file, once the canary agrees on every case in it.

    Cells that the canary has in the file count if they were executed here; on the other cases it is asked now.

    Raises:
        CanaryError: it does not agree; the results file is kept, no report is written.
        ResultsError: the results file cannot be read.
    """
    page = results.with_name(REPORT_NAME)
    page.unlink(missing_ok=True)
    kept = read_results(results)
    columns = {row.id for row in kept.run.implementations if row.name == CANARY and row.provenance == "executed"}
    known = [cell for cell in kept.cells if cell.implementation in columns]
    refuse_if_canary_differs(known)
    needed = {cell.case for cell in kept.cells} - {cell.case for cell in known}
    if needed:
        # What a case does on purpose, such as dividing by zero, is no news on the terminal.
        with closing(HostSession(CANARY, time_limit=60, in_process=True)) as canary, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            refuse_if_canary_differs(cell_of(case, canary).row for case in cases if case.id in needed)
    write_report(kept, page)
    return page


def refuse_if_canary_differs(cells: Iterable[CellRow]) -> None:
    """Raise if a cell of the canary is neither in agreement nor merely rough; an open case judges nobody.

    Raises:
        CanaryError: names the first such cell.
    """
    for cell in cells:
        if cell.verdict not in ("agrees", "rough", "open"):
            raise CanaryError(
                f"the canary {cell.implementation} {cell.verdict} on {cell.case}: {cell.explanation}",
                hint="no report is written; results are kept. The oracle or its bounds are at fault, not a framework.",
            )
