"""``conformance explain``: a cell against every variant, or the answer to a question that people ask."""

from __future__ import annotations

import argparse
import difflib
import math
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from conformance.adapters.contract import Implementation
from conformance.cli.asking import answered, case_named, started
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.engine.cell import cell_of, question_of
from conformance.errors import UsageError
from conformance.host.observation import Observation, Outcome
from conformance.questions.answer import observed, predicted, render
from conformance.questions.nearest import compared, words
from conformance.results.read import Results, read_results
from conformance.results.rows import FAILING, CellRow, ImplementationRow
from conformance.topics.table import Topic, topics
from conformance.verdict.deviations import load_deviations

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Explain a cell, or answer one of the questions that people ask."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("what", nargs="?", metavar="CASE|TOPIC", help="the id of a case, or a topic (default: list the topics)")
    add("implementation", nargs="?", metavar="IMPLEMENTATION", help="of a case: an adapter's name, or an id")
    add("--results", type=Path, metavar="RESULTS", help="explain the cell of this results file instead of asking")
    add("--implementation", action="append", default=[], dest="asked", metavar="NAME",
        help="of a topic: run it on this adapter; repeatable (default: the oracle's numbers)")
    add("--all", action="store_true", help="of a case: every variant, not only the nearest")  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Explain, and return 1 if the cell explained differs, changed or crashed.

    Raises:
        UsageError: there is no such case, topic or cell.
    """
    if arguments.what is None:
        sys.stdout.write(_list())
        return 0
    if arguments.implementation is None:
        if arguments.results is not None:
            raise UsageError(
                "--results is of a case on an implementation", hint="explain CASE IMPLEMENTATION --results FILE"
            )
        sys.stdout.write(_topic(_named(arguments.what), arguments.asked))
        return 0
    if arguments.asked:
        raise UsageError("--implementation is of a topic", hint=f"explain {arguments.what} {arguments.implementation}")
    return _cell(arguments)


def _list() -> str:
    width = max(len(topic.name) for topic in topics())
    lines = [f"{topic.name:{width}}  {topic.question}" for topic in topics()]
    return "\n".join([*lines, "", "conformance explain TOPIC [--implementation NAME ...] answers one",
                      "conformance explain CASE IMPLEMENTATION explains a cell", ""])  # fmt: skip


def _named(name: str) -> Topic:
    known = {topic.name: topic for topic in topics()}
    if name in known:
        return known[name]
    if "/" in name:
        raise UsageError(f"{name} is a case: on which implementation?", hint=f"conformance explain {name!r} torch")
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.4)
    meant = f"did you mean {' or '.join(near)}?" if near else f"topics are {', '.join(known)}"
    raise UsageError(f"no topic is named {name!r}", hint=meant)


def _topic(topic: Topic, adapters: list[str]) -> str:
    if not adapters:
        return render(topic, predicted(topic))
    seen = {}
    for name in adapters:
        with closing(started(name)) as session:
            found = answered(topic.asked.question(), session)
            seen[name] = f"lacks it: {found.unsupported}" if found.unsupported is not None else found
    return render(topic, observed(topic, seen))


def _cell(arguments: argparse.Namespace) -> int:
    case = case_named(arguments.what)
    if arguments.results is not None:
        results = read_results(arguments.results)
        row, column = _kept(results, case, arguments.implementation)
        outcomes, dialect = dict(_outcomes(row)), _dialect(column)
    else:
        with closing(started(arguments.implementation)) as session:
            seen = answered(case, session)
            row = cell_of(case, _Answered(session.implementation, seen), load_deviations()).row
        outcomes, dialect = dict(seen.outcomes), seen.dialect
    sys.stdout.write(_told(case, row, outcomes, dialect, everything=arguments.all))
    return 3 if row.verdict == "void" else 1 if row.verdict in FAILING else 0


@dataclass(frozen=True)
class _Answered:
    """A session that has its answer: the numbers that are explained are the very ones that were judged."""

    implementation: Implementation
    seen: Observation

    def observe(self, case: Case) -> Observation:  # noqa: ARG002
        return self.seen

    def observe_apart(self, case: Case) -> None:
        """Return nothing: nobody is asked again."""


def _kept(results: Results, case: Case, name: str) -> tuple[CellRow, ImplementationRow]:
    """Return the cell of a results file and its column, named by id or, if it is the only one, by name."""
    columns = [one for one in results.run.implementations if name in (one.id, one.name)]
    cells = [cell for cell in results.cells if cell.case == case.id and cell.implementation in {c.id for c in columns}]
    if len(cells) != 1:
        known = ", ".join(one.id for one in results.run.implementations)
        what = "no cell" if not cells else f"{len(cells)} cells"
        raise UsageError(
            f"the results have {what} of {case.id} on {name!r}{results.lacking}", hint=f"columns are {known}"
        )
    return cells[0], next(one for one in columns if one.id == cells[0].implementation)


def _outcomes(row: CellRow) -> Iterator[tuple[tuple[int, str], Outcome]]:
    """Yield the arrays that a results file holds whole; of large ones it keeps only a part."""
    for one in row.quantities:
        values = one.observed
        if values is not None and len(values) == math.prod(one.shape):
            dtype = np.dtype(getattr(ml_dtypes, one.dtype, one.dtype))
            array = np.array([float(value) for value in values]).astype(dtype)
            yield (one.step, one.name), array.reshape(one.shape)


def _dialect(column: ImplementationRow) -> Dialect:
    """Return the declared dialect; of an option that varies with the layer, the first."""
    given: dict[str, Any] = {choice: option.partition(" / ")[0] for choice, option in column.dialect.items()}
    return Dialect(**given)


def _told(
    case: Case, row: CellRow, outcomes: dict[tuple[int, str], Outcome], dialect: Dialect, *, everything: bool
) -> str:
    lines = [f"{case.id} on {row.implementation}: {row.verdict}", case.fact]
    if row.explanation:
        lines += ["", row.explanation]
    if not case.open:
        lines += ["", *(words(one, everything=everything) for one in compared(question_of(case), dialect, outcomes))]
    return "\n".join(lines) + "\n"
