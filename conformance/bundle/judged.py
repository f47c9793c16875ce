"""The answers of a bundle, judged: a cell for each, and a message for each that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from conformance.bundle.layout import BundleError, MissingError, answers_of
from conformance.bundle.recorded import Recorded
from conformance.corpus.case import Case
from conformance.engine.cell import Cell, cell_of
from conformance.verdict.deviations import Deviation

__all__ = ["Bundle"]


@dataclass(frozen=True)
class Bundle:
    """An answered bundle: ``cases`` are those of it that this suite knows, ``numbers`` counts them by id."""

    folder: Path
    cases: Sequence[Case]
    numbers: dict[str, int]

    def judge(self, deviations: Sequence[Deviation], done: Callable[[Cell], None]) -> Iterator[str]:
        """Judge every answer, and yield what stands in the way of one; the others are judged all the same.

        Raises:
            BundleError: nothing is answered at all.
        """
        seen: dict[str, Path] = {}
        for folder in answers_of(self.folder):
            try:
                answers = Recorded(folder, self.numbers)
            except BundleError as error:
                yield str(error)
                continue
            name = answers.implementation.id
            if name in seen:
                yield f"{folder}: describes {name}, as {seen[name]} does; only the first is imported"
                continue
            seen[name] = folder
            yield from self._judge_one(answers, deviations, done)
            yield from answers.strangers()

    def _judge_one(
        self, answers: Recorded, deviations: Sequence[Deviation], done: Callable[[Cell], None]
    ) -> Iterator[str]:
        missing = 0
        for case in self.cases:
            try:
                cell = cell_of(case, answers, deviations)
            except MissingError:
                missing += 1
            except BundleError as error:
                yield str(error)
            else:
                done(replace(cell, implementation=msgspec.structs.replace(cell.implementation, provenance="recorded")))
        if missing:
            yield (
                f"{answers.folder}: {missing} of {len(self.cases)} answers are missing; "
                "start the program again to go on, or take the results as they are: partial"
            )
