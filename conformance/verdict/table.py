"""How one array is judged: the table of docs/verdicts.md, as a function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from conformance.definition.prediction import Expected
from conformance.results.rows import Verdict
from conformance.verdict.compare import Array, Comparison, Mismatch, apart, compare, widened

__all__ = ["Claims", "Ruling", "changes", "fits", "graded", "rule", "ruling"]


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


@dataclass(frozen=True)
class Claims:
    """An observed array and what predicts it: the reference, the declared dialect, it with the records applied.

    ``recorded`` is ``None`` where no record says anything of the quantity. Each is compared once.
    """

    observed: Array
    reference: Expected
    declared: Expected
    recorded: Expected | None = None

    @cached_property
    def by_reference(self) -> Comparison | Mismatch:
        """Hold it against the reference."""
        return compare(self.observed, self.reference)

    @cached_property
    def by_declared(self) -> Comparison | Mismatch:
        """Hold it against the declared dialect."""
        return self.by_reference if self.declared is self.reference else compare(self.observed, self.declared)

    @cached_property
    def by_recorded(self) -> Comparison | Mismatch:
        """Hold it against the records, where there are any, else against the declared dialect."""
        return self.by_declared if self.recorded is None else compare(self.observed, self.recorded)


def changes(one: Expected, other: Expected) -> bool:
    """Tell whether a record that turns one prediction into the other says anything.

    It does if the two are apart, or if the second allows clearly more rounding: a poor formula.
    """
    return apart(one, other) or widened(one, other)


def rule(observed: Array, reference: Expected, declared: Expected, recorded: Expected | None = None) -> Ruling:
    """Judge an array by what the reference predicts, the declared dialect, and it with the records applied."""
    return ruling(Claims(observed, reference, declared, recorded))


def ruling(claims: Claims) -> Ruling:
    """Judge an array by what predicts it. Shape and dtype come before values."""
    reference, declared, recorded = claims.reference, claims.declared, claims.recorded
    if recorded is not None and not apart(declared, recorded) and fits(claims.by_declared):
        # A record of poor rounding promises nothing of a single cell: luck, or another processor's
        # order of summation, may keep it inside the bound. As a whole it is held to be used.
        return ruling(replace(claims, recorded=None))
    if recorded is not None:
        return _as_recorded(claims, recorded)
    if declared is reference:
        return graded(claims.by_reference)
    if apart(reference, declared):
        return _as_declared(claims.by_reference, claims.by_declared)
    if fits(claims.by_declared) and not fits(claims.by_reference):
        # Too close to tell which was meant, and yet only the declaration accounts for it.
        return Ruling("deviates", _within(claims.by_declared), discriminates=False)
    return graded(claims.by_reference)


def _as_declared(by_reference: Comparison | Mismatch, by_declared: Comparison | Mismatch) -> Ruling:
    if fits(by_reference):
        return Ruling("changed", "agrees with the reference: the declaration is stale", discriminates=True)
    if fits(by_declared):
        return Ruling("deviates", _within(by_declared), discriminates=True)
    why = _reason(by_declared, "fits neither the reference nor the declared dialect")
    return Ruling("differs", why, discriminates=True)


def _as_recorded(claims: Claims, recorded: Expected) -> Ruling:
    by_reference, by_recorded = claims.by_reference, claims.by_recorded
    alone_accounts = fits(by_recorded) and not fits(by_reference)
    if not changes(claims.reference, recorded) and not alone_accounts:
        return replace(graded(by_reference), by_record=True)
    verdict: Verdict = "changed"
    if fits(by_reference):
        why: str | None = "agrees with the reference: the record is stale"
    elif fits(claims.by_declared):
        why = "as the dialect declares, and no more: the record is stale"
    elif fits(by_recorded):
        verdict, why = "deviates", _within(by_recorded)
    else:
        why = _reason(by_recorded, "deviates in another way than recorded")
    return Ruling(verdict, why, discriminates=True, by_record=True)


def graded(by_reference: Comparison | Mismatch) -> Ruling:
    """Judge what is held against one prediction alone."""
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
