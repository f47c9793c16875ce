"""How one array is judged: the table of docs/verdicts.md, as a function."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.definition.prediction import Expected
from conformance.results.rows import Verdict
from conformance.verdict.compare import Array, Comparison, Mismatch, apart, compare, widened

__all__ = ["Ruling", "changes", "fits", "rule"]


@dataclass(frozen=True)
class Ruling:
    """The verdict on an array and why.

    ``discriminates`` tells whether the predictions are apart at all, ``by_record`` whether what was
    recorded made the verdict, be it that it was seen or missed.
    """

    verdict: Verdict
    why: str | None
    discriminates: bool
    by_record: bool = False


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
    if recorded is not None and not apart(declared, recorded) and fits(by_declared):
        # A record of poor rounding promises nothing of a single cell: luck, or another processor's
        # order of summation, may keep it inside the bound. As a whole it is held to be used.
        return rule(observed, reference, declared)
    if recorded is not None:
        return _as_recorded(reference, by_reference, by_declared, observed, recorded)
    if apart(reference, declared):
        return _as_declared(by_reference, by_declared)
    if fits(by_declared) and not fits(by_reference):
        # Too close to tell which was meant, and yet only the declaration accounts for it.
        return Ruling("deviates", _within(by_declared), discriminates=False)
    return _graded(by_reference)


def _as_declared(by_reference: Comparison | Mismatch, by_declared: Comparison | Mismatch) -> Ruling:
    if fits(by_reference):
        return Ruling("changed", "agrees with the reference: the declaration is stale", discriminates=True)
    if fits(by_declared):
        return Ruling("deviates", _within(by_declared), discriminates=True)
    why = _reason(by_declared, "fits neither the reference nor the declared dialect")
    return Ruling("differs", why, discriminates=True)


def _as_recorded(
    reference: Expected, by_reference: Comparison | Mismatch, by_declared: Comparison | Mismatch, observed: Array,
    recorded: Expected,
) -> Ruling:  # fmt: skip
    by_recorded = compare(observed, recorded)
    alone_accounts = fits(by_recorded) and not fits(by_reference)
    if not changes(reference, recorded) and not alone_accounts:
        return replace(_graded(by_reference), by_record=True)
    verdict: Verdict = "changed"
    if fits(by_reference):
        why: str | None = "agrees with the reference: the record is stale"
    elif fits(by_declared):
        why = "as the dialect declares, and no more: the record is stale"
    elif fits(by_recorded):
        verdict, why = "deviates", _within(by_recorded)
    else:
        why = _reason(by_recorded, "deviates in another way than recorded")
    return Ruling(verdict, why, discriminates=True, by_record=True)


def _graded(by_reference: Comparison | Mismatch) -> Ruling:
    if isinstance(by_reference, Mismatch):
        return Ruling("differs", by_reference.reason, discriminates=False)
    verdict: Verdict = "agrees" if by_reference.tight else "rough" if by_reference.plain else "differs"
    return Ruling(verdict, None, discriminates=False)


def fits(comparison: Comparison | Mismatch) -> bool:
    """Tell whether what was compared is inside the plain bound."""
    return isinstance(comparison, Comparison) and comparison.plain


def _within(comparison: Comparison | Mismatch) -> str | None:
    tight = isinstance(comparison, Comparison) and comparison.tight
    return None if tight else "within the plain bound only"


def _reason(comparison: Comparison | Mismatch, otherwise: str) -> str:
    return f"{otherwise}: {comparison.reason}" if isinstance(comparison, Mismatch) else otherwise
