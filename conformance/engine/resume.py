"""A run that was ended before its time: what it has left, and whether it can be gone on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conformance.adapters.contract import Implementation
from conformance.errors import AdapterError, ResultsError
from conformance.results.read import RESULTS_NAME, Survey, survey
from conformance.results.rows import RunRow

__all__ = ["NOTHING", "Finished", "check_same", "left_in"]


def left_in(folder: Path) -> Survey | None:
    """Return what a run has left in a folder, ``None`` if no run began there.

    Raises:
        ResultsError: the file there cannot be read.
    """
    file = folder / RESULTS_NAME
    return survey(file) if file.exists() else None


def check_same(kept: RunRow, run: RunRow, file: Path) -> None:
    """Refuse to go on where the rest would be another run than the beginning.

    Raises:
        ResultsError: says what is otherwise now.
    """
    same = {
        "the suite": kept.suite == run.suite,
        "the corpus": kept.cases_digest == run.cases_digest,
        "the selection of cases": [case.id for case in kept.cases] == [case.id for case in run.cases],
        "the recorded deviations": kept.deviations == run.deviations,
        "the machine": all(kept.machine.get(what) == run.machine.get(what) for what in ("processor", "python")),
    }
    for what, alike in same.items():
        if not alike:
            raise ResultsError(
                f"{file}: {what} is not what the run began with, so the rest would be of another run",
                hint="run again without --resume, into another folder to keep this one",
            )


@dataclass(frozen=True)
class Finished:
    """The cells that are there already."""

    columns: frozenset[str] = frozenset()
    cells: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, kept: Survey) -> Finished:
        """Return those of a run."""
        return cls(frozenset(row.id for row in kept.run.implementations), frozenset(kept.verdicts))

    def by(self, implementation: Implementation) -> frozenset[str]:
        """Return the ids of the cases that have a cell of this implementation.

        Raises:
            AdapterError: it has another version now than when the run began.
        """
        name, _, rest = implementation.id.partition("@")
        way = rest.partition(":")[2]
        for known in self.columns - {implementation.id}:
            if known.startswith(f"{name}@") and known.partition("@")[2].partition(":")[2] == way:
                raise AdapterError(
                    f"the run began with {known}, and now there is {implementation.id}",
                    hint="install what it began with, or run again without --resume",
                )
        return frozenset(case for case, column in self.cells if column == implementation.id)


#: Of a run that begins.
NOTHING = Finished()
