"""How one array is judged: the table of docs/verdicts.md, as a function."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.definition.prediction import Expected
from conformance.results.rows import Verdict
from conformance.verdict.compare import Array, Comparison, Mismatch, apart, compare, widened

__all__ = ["Ruling", "changes", "rule"]


@dataclass(frozen=True)
class Ruling:
    """The verdict on an array and why; ``discriminates`` tells whether the predictions are apart at all."""

    verdict: Verdict
    why: str | None
    discriminates: bool


def changes(one: Expected, other: Expected) -> bool:
    """Tell whether a record that turns one prediction into the other says anything.

    It does if the two are apart, or if the second allows clearly more rounding: a poor formula.
    """
    return apart(one, other) or widened(one, other)


def rule(observed: Array, reference: Expected, declared: Expected, recorded: Expected | None = None) -> Ruling:
    """Judge an array by what the reference predicts, the declared dialect, and it with the records applied.

    ``recorded`` is ``None`` where no record says anything of the quantity. Shape and dtype come
    before values.
    """
    by_reference, by_declared = compare(observed, reference), compare(observed, declared)
    final = declared if recorded is None else recorded
    if not (apart(reference, final) or (recorded is not None and widened(reference, recorded))):
        return _graded(by_reference)
    if _fits(by_reference):
        stale = "declaration" if recorded is None else "record"
        return Ruling("changed", f"agrees with the reference: the {stale} is stale", discriminates=True)
    if recorded is None:
        return _as_declared(by_declared)
    if _fits(by_declared):
        return Ruling("changed", "as the dialect declares, and no more: the record is stale", discriminates=True)
    by_recorded = compare(observed, recorded)
    if _fits(by_recorded):
        return Ruling("deviates", _within(by_recorded), discriminates=True)
    return Ruling("changed", _reason(by_recorded, "deviates in another way than recorded"), discriminates=True)


def _graded(by_reference: Comparison | Mismatch) -> Ruling:
    if isinstance(by_reference, Mismatch):
        return Ruling("differs", by_reference.reason, discriminates=False)
    verdict: Verdict = "agrees" if by_reference.tight else "rough" if by_reference.plain else "differs"
    return Ruling(verdict, None, discriminates=False)


def _as_declared(by_declared: Comparison | Mismatch) -> Ruling:
    if _fits(by_declared):
        return Ruling("deviates", _within(by_declared), discriminates=True)
    return Ruling("differs", _reason(by_declared, "fits neither the reference nor the declared dialect"), True)


def _fits(comparison: Comparison | Mismatch) -> bool:
    return isinstance(comparison, Comparison) and comparison.plain


def _within(comparison: Comparison | Mismatch) -> str | None:
    tight = isinstance(comparison, Comparison) and comparison.tight
    return None if tight else "within the plain bound only"


def _reason(comparison: Comparison | Mismatch, otherwise: str) -> str:
    return f"{otherwise}: {comparison.reason}" if isinstance(comparison, Mismatch) else otherwise
