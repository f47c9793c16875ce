"""What a well-formed corpus may still get wrong: one small function per lint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from conformance.corpus.case import Case
from conformance.corpus.load import Definition
from conformance.corpus.palette import EVALUATE_ONLY, LARGE, PALETTE
from conformance.corpus.reported import FILE, reported_bugs, strays
from conformance.definition import clauses
from conformance.definition.clauses import CLAUSES

__all__ = ["LINTS", "Finding", "lint"]

_PROSE = re.compile(
    r"\b(should|shall|must|tests?|tested|testing|checks?|checked|ensures?|verif(y|ies)|makes? sure"
    r"|expect(s|ed)?)\b",
    re.IGNORECASE,
)
_REPORT = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+#[1-9][0-9]*")
_HINT = "; add it to conformance/corpus/reported_bugs.yaml"
# What a case says about itself; all other fields make up its question.
_CLAUSES = "conformance/definition/clauses"
_DESCRIPTION = ("id", "fact", "clauses", "reported", "tags")


@dataclass(frozen=True)
class Finding:
    """One thing to mend, with its place."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


Lint: TypeAlias = Callable[[Sequence[Definition]], Iterable[Finding]]


def lint(definitions: Sequence[Definition], *, whole: bool = True) -> list[Finding]:
    """Return what the lints find, in order of file and line.

    ``whole`` says that the definitions are the suite's whole corpus, which is to cite every clause and
    to name every bug that was reported, and no other.
    """
    checks = LINTS if whole else [check for check in LINTS if check not in _OF_THE_WHOLE]
    findings = [finding for check in checks for finding in check(definitions)]
    return sorted(findings, key=lambda finding: (finding.file, finding.line, finding.message))


def clauses_without_case(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find clauses that no case cites."""
    cited = {number for definition in definitions for case in definition.cases for number in case.clauses}
    for number in CLAUSES:
        if number not in cited:
            yield Finding(*_place(number), f"clause {number} is cited by no case")


def _place(number: str) -> tuple[str, int]:
    """Return the file and the line in which a clause stands."""
    for file in sorted(Path(clauses.__file__).parent.glob("*.py")):
        for line, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if f'"{number}",' in text:
                return f"{_CLAUSES}/{file.name}", line
    return _CLAUSES, 1


def repeated_clauses(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find definitions that cite a clause twice."""
    for definition in definitions:
        if any(len(set(case.clauses)) < len(case.clauses) for case in definition.cases):
            yield _finding(definition, f"{definition.name} cites a clause twice")


def duplicate_facts(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find definitions that state the fact of another."""
    seen: dict[str, Definition] = {}
    for definition in definitions:
        for fact in dict.fromkeys(case.fact.casefold().rstrip(".") for case in definition.cases):
            first = seen.setdefault(fact, definition)
            if first is not definition:
                place = f"{first.mark.file}:{first.mark.line}"
                yield _finding(definition, f"{definition.name} states the fact of {first.name} ({place})")


def duplicate_questions(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find cases that differ from another in their descriptions alone."""
    seen: dict[str, str] = {}
    for definition in definitions:
        for case in definition.cases:
            first = seen.setdefault(_question(case), case.id)
            if first != case.id:
                yield _finding(definition, f"{case.id} asks what {first} asks")


def prose(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find facts that are not one sentence, or do not say what is."""
    for definition in definitions:
        for fact in dict.fromkeys(case.fact for case in definition.cases):
            if match := _PROSE.search(fact):
                yield _finding(definition, f"the fact says {match[0]!r}; state what is, as `X is Y.`")
            if not re.fullmatch(r"[A-Z].{10,160}\.", fact):
                yield _finding(definition, "the fact is not one sentence: a capital first, a full stop last")


def shapes_outside_palette(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find shapes outside the palette, and training on one value per channel, but for what is open or rejected."""
    for definition in definitions:
        messages = (message for case in definition.cases for message in _odd_shapes(case))
        for message in dict.fromkeys(messages):
            yield _finding(definition, message)


def odd_reports(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find reports that are not named ``owner/repository#number``."""
    for definition in definitions:
        for report in dict.fromkeys(report for case in definition.cases for report in case.reported):
            if not _REPORT.fullmatch(report):
                yield _finding(definition, f"reported: found {report!r}, expected owner/repository#number")


def unknown_reports(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find reports that are none of the bugs on file."""
    known = {bug.id for bug in reported_bugs()}
    for definition in definitions:
        named = {report: None for case in definition.cases for report in case.reported if report not in known}
        for report in named:
            if _REPORT.fullmatch(report):
                yield _finding(definition, f"reported: {report} is none of the bugs on file{_HINT}")


def stray_bugs(definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Find bugs on file that have neither a case nor a reason, or both."""
    for line, message in strays(definitions, reported_bugs()):
        yield Finding(FILE, line, message)


LINTS: tuple[Lint, ...] = (
    clauses_without_case,
    unknown_reports,
    stray_bugs,
    repeated_clauses,
    duplicate_facts,
    duplicate_questions,
    prose,
    shapes_outside_palette,
    odd_reports,
)
_OF_THE_WHOLE = (clauses_without_case, unknown_reports, stray_bugs)


def _finding(definition: Definition, message: str) -> Finding:
    return Finding(definition.mark.file, definition.mark.line, message)


def _question(case: Case) -> str:
    data: dict[str, Any] = msgspec.to_builtins(case)
    return msgspec.json.encode(
        {key: data[key] for key in data if key not in _DESCRIPTION}, order="sorted"
    ).decode()


def _odd_shapes(case: Case) -> Iterator[str]:
    if case.open or LARGE in case.tags:
        return
    for step in case.steps:
        for position, label in enumerate(step.labels):
            shape = case.input(label).shape or case.shape
            trains = step.mode == "train" or (step.through_update is not None and position == 0)
            if shape in EVALUATE_ONLY and trains:
                yield f"shape {shape} has one value per channel and is trained on"
            elif not step.rejected and shape not in PALETTE + EVALUATE_ONLY:
                yield f"shape {shape} is outside the palette ({', '.join(PALETTE + EVALUATE_ONLY)})"
