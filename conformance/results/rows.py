"""The rows of a results file (JSON Lines): one run, a cell each, one end."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = [
    "FAILING", "SEVERITY", "CaseRow", "CellRow", "ChoiceRow", "DeviationRow", "EndRow", "ImplementationRow",
    "InputRow", "MergedRunRow", "Number", "QuantityRow", "Row", "RunRow", "Verdict", "number", "worst",
]  # fmt: skip

Verdict: TypeAlias = Literal[
    "void", "crashed", "differs", "changed", "deviates", "rough", "open", "unsupported", "agrees"
]
#: Worst first: a cell shows the first of these that one of its quantities has.
SEVERITY: tuple[Verdict, ...] = (
    "void", "crashed", "differs", "changed", "deviates", "rough", "open", "unsupported", "agrees",
)  # fmt: skip
#: The verdicts that fail a run.
FAILING: frozenset[Verdict] = frozenset({"void", "crashed", "differs", "changed"})
#: A finite number, or ``"nan"``, ``"inf"``, ``"-inf"``.
Number: TypeAlias = float | str


class QuantityRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One judged quantity of a cell.

    ``step`` counts from 1. ``expected`` and ``observed`` hold the values ``window[0]`` to
    ``window[1]`` (exclusive) of the array in C order: all of them where they are few, else those
    around the worst element. ``error`` and ``bound`` belong to the worst element, the one with the
    largest ``ratio``; ``max_abs_error`` is the largest error anywhere. ``channels`` and ``samples`` hold
    the largest ratio in each channel and in each sample of the batch, where there are few and not all is
    well. An error raised is the quantity ``outcome``.
    """

    step: int
    name: str
    clause: str
    verdict: Verdict
    dtype: str = ""
    shape: tuple[int, ...] = ()
    ratio: Number | None = None
    bound: Number | None = None
    plain_bound: Number | None = None
    error: Number | None = None
    max_abs_error: Number | None = None
    worst_index: tuple[int, ...] | None = None
    window: tuple[int, int] | None = None
    expected: tuple[Number, ...] | None = None
    observed: tuple[Number, ...] | None = None
    declared: tuple[Number, ...] | None = None
    declared_ratio: Number | None = None
    discriminates: bool | None = None
    variant: str | None = None
    deviation: str | None = None
    open: str | None = None
    explanation: str | None = None
    raises: str | None = None
    message: str | None = None
    channels: tuple[Number, ...] | None = None
    samples: tuple[Number, ...] | None = None


class CellRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="kind", tag="cell"):
    """One case on one implementation; ``implementation`` is the id of its column."""

    case: str
    implementation: str
    verdict: Verdict
    explanation: str = ""
    seconds: float = 0.0
    quantities: tuple[QuantityRow, ...] = ()


class ImplementationRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column. ``id`` is ``name@version:execution:device``; ``dialect`` has an entry per choice.

    ``names`` says what it calls its constructor, arguments, parameters and state, and their defaults.
    """

    id: str
    name: str
    versions: dict[str, str]
    execution: str = "eager"
    device: str = "cpu"
    provenance: Literal["executed", "recorded", "modelled"] = "executed"
    dialect: dict[str, str] = {}
    documentation: str = ""
    settings: dict[str, str] = {}
    title: str = ""
    names: dict[str, str | float] = {}


class InputRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An array that a case puts to an implementation: ``values`` are the first few in C order."""

    dtype: str
    shape: tuple[int, ...]
    values: tuple[Number, ...] = ()


class CaseRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the report tells of a case: its fact, clauses, the expanded source and the arrays by name."""

    id: str
    fact: str
    clauses: tuple[str, ...]
    source: dict[str, Any] = {}
    inputs: dict[str, InputRow] = {}

    def asks_like(self, other: CaseRow) -> bool:
        """Tell whether the other case is the same text: what earlier suites did not keep does not count."""
        return (self.fact, self.clauses, self.source) == (other.fact, other.clauses, other.source)


class ChoiceRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A choice that the definition leaves: the number of its clause, and what each option says, by name."""

    clause: str
    options: dict[str, str] = {}


class DeviationRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a recorded deviation says: of whom, why, how it was proved and where it was reported.

    ``variants`` are names, explained in ``RunRow.variants``; ``raises`` is the error where it is one that is recorded.
    """

    implementation: str
    versions: str = ""
    variants: tuple[str, ...] = ()
    raises: str = ""
    reason: str = ""
    proof: str = ""
    upstream: str = ""


class MergedRunRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the runs that a merged file was made of: its run row, the corpus apart.

    ``implementations`` are ids, ``cells`` counts what the run brought, ``complete`` is false where its
    file lacked the end row. ``cases`` holds the cases whose text differs from that in the merged row;
    ``note`` says so in words.
    """

    suite: str
    started: str
    machine: dict[str, str]
    cases_digest: str
    implementations: tuple[str, ...]
    cells: int
    complete: bool = True
    seconds: float = 0.0
    selection: str = ""
    cases: tuple[CaseRow, ...] = ()
    note: str = ""


class RunRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="run"):
    """The first row: what was run, where, on what.

    ``cases_digest`` is the SHA-256 over the canonical JSON of all cases; ``selection`` is non-empty
    if a part of the corpus was asked for; ``runs`` holds the run rows of merged files. ``deviations`` are
    the recorded deviations by name, ``variants`` the sentence that each variant of the oracle stands for,
    ``choices`` what a dialect may choose. ``asked`` are the options of ``conformance run``, where they are not
    the default: with them the run is resumed.
    """

    suite: str
    started: str
    machine: dict[str, str]
    cases_digest: str
    cases: tuple[CaseRow, ...]
    implementations: tuple[ImplementationRow, ...]
    not_installed: dict[str, str] = {}
    selection: str = ""
    clauses: dict[str, dict[str, str]] = {}
    runs: tuple[MergedRunRow, ...] = ()
    deviations: dict[str, DeviationRow] = {}
    variants: dict[str, str] = {}
    choices: dict[str, ChoiceRow] = {}
    asked: dict[str, Any] = {}


class EndRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="end"):
    """The last row: how many cells the file holds. A file without it is partial."""

    cells: int
    seconds: float = 0.0


Row: TypeAlias = RunRow | CellRow | EndRow


def number(value: float) -> Number:
    """Return the value as a results file holds it: finite as it is, else its name.

    >>> number(float("-inf"))
    '-inf'
    """
    return float(value) if math.isfinite(value) else str(float(value))


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the most severe of the verdicts; ``agrees`` if there is none."""
    return min(verdicts, key=SEVERITY.index, default="agrees")
