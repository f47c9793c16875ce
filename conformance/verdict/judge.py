"""The verdict of each quantity of a cell, against the reference and the declared dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected, Key, Predicted, Prediction, Refused, Same, Undetermined
from conformance.definition.rules import Rules
from conformance.definition.variants import apply, option_name
from conformance.host.observation import NO_FORWARD, UNSUPPORTED, Observation, Raised
from conformance.results.rows import QuantityRow
from conformance.verdict.compare import Array, Comparison, Mismatch, compare
from conformance.verdict.deviations import Deviation
from conformance.verdict.distances import with_distances
from conformance.verdict.explain import Explanation, explain
from conformance.verdict.failing import as_recorded, failed_forwards, raised_row, without
from conformance.verdict.group import describe, group
from conformance.verdict.oracle import Question
from conformance.verdict.quantity import array_row, open_row, outcome_row
from conformance.verdict.table import Claims, Ruling, changes, fits, graded, ruling

__all__ = ["judge"]


def judge(
    question: Question, observation: Observation, deviations: tuple[Deviation, ...] = (), *, explaining: bool = True
) -> tuple[QuantityRow, ...]:
    """Judge every predicted quantity, and every error raised, in the order of the steps.

    ``deviations`` are the recorded ones that concern this case on this implementation. No quantity
    that was predicted is left out: one that is missing differs. Without ``explaining`` no variant is
    sought for what differs, which saves most of the time.
    """
    case = question.case
    if case.open:
        return (open_row((len(case.program), "outcome"), case.clauses[0], describe(question, observation)),)
    observation = with_distances(question, observation)
    judgement = _judgement(question, observation, deviations)
    keys = judgement.judged()
    rows = [judgement.row(key) for key in keys]
    unexplained = [key for key, row in zip(keys, rows, strict=True) if _needs_explaining(row)]
    # Of a network hundreds of predictions would take minutes; its layers are asked, and explained, alone.
    if unexplained and explaining and case.network is None:
        found = explain(judgement.question, judgement.declared, observation.outcomes, unexplained)
        rows = [_explained(row, found.get((row.step, row.name))) for row in rows]
    return as_recorded(rows, (len(case.program), "outcome"), case.clauses[0], deviations)


def _needs_explaining(row: QuantityRow) -> bool:
    return row.verdict in ("differs", "changed") and not (row.raises and row.deviation)


def _explained(row: QuantityRow, explanation: Explanation | None) -> QuantityRow:
    if explanation is None:
        return row
    said = f"{row.explanation}; " if row.explanation else ""
    return msgspec.structs.replace(row, variant=explanation.variant, explanation=said + explanation.text)


def _judgement(question: Question, observation: Observation, deviations: tuple[Deviation, ...]) -> _Judgement:
    if any(record.raises for record in deviations):
        predicted = question.predict(_rules(observation.dialect))
        failed = failed_forwards(question.case, predicted, observation)
        if failed:
            return _Judgement(without(question, failed), observation, deviations, failed)
    return _Judgement(question, observation, deviations)


@dataclass(frozen=True)
class _Judgement:
    question: Question
    observation: Observation
    deviations: tuple[Deviation, ...]
    #: The steps whose forward failed, in a case of which that is recorded; the question is that of the others.
    failed: frozenset[int] = frozenset()

    @cached_property
    def declared(self) -> Rules:
        return _rules(self.observation.dialect)

    @cached_property
    def reference(self) -> Rules:
        return _rules(self.observation.dialect.reference())

    @cached_property
    def alike(self) -> bool:
        """Tell whether the implementation declares what the reference does."""
        return self.declared == self.reference

    @cached_property
    def by_declaration(self) -> Prediction:
        return self.question.predict(self.declared)

    @cached_property
    def by_reference(self) -> Prediction:
        return self.question.predict(self.reference)

    def judged(self) -> tuple[Key, ...]:
        """Return what is judged: all predictions, and all errors raised; what an error prevented is left to it."""
        predicted = self.by_declaration
        raised = {step for (step, _), outcome in self.observation.outcomes.items() if isinstance(outcome, Raised)}
        keys = {key for key in predicted if key in self.observation.outcomes or key[0] not in raised}
        if 0 in raised:
            keys = set()
        return tuple(sorted(keys | {(step, "outcome") for step in raised}, key=_order))

    def row(self, key: Key) -> QuantityRow:
        clause = self.question.clause(key)
        observed = self.observation.outcomes.get(key)
        declared = self.by_declaration.get(key)
        if isinstance(declared, Undetermined):
            return open_row(key, clause, self._group(key, declared, observed))
        if isinstance(declared, Same):
            return self._same(key, clause, declared)
        if isinstance(observed, Raised):
            return self._raised(key, clause, observed, declared)
        if isinstance(declared, Refused):
            return outcome_row(key, clause, "differs", None, "raised nothing, expected an error")
        assert isinstance(declared, Expected)
        if observed is None:
            return outcome_row(key, clause, "differs", None, f"{key[1]} is missing")
        return self._array(key, clause, observed)

    def _same(self, key: Key, clause: str, relation: Same) -> QuantityRow:
        now, before = (self.observation.outcomes.get(at) for at in ((key[0], "y"), relation.earlier))
        if isinstance(now, Raised) or isinstance(before, Raised) or now is None or before is None:
            return outcome_row(key, clause, "differs", None, "one of the two outputs is missing")
        said = f"bit for bit the output of step {relation.earlier[0]}"
        if now.dtype == before.dtype and now.shape == before.shape and now.tobytes() == before.tobytes():
            return outcome_row(key, clause, "agrees", None, said, now)
        return outcome_row(key, clause, "differs", None, f"not {said}", now)

    def _raised(self, key: Key, clause: str, observed: Raised, declared: Predicted | None) -> QuantityRow:
        if observed.type == UNSUPPORTED:
            return outcome_row(key, clause, "unsupported", observed, observed.message)
        if key[0] in self.failed:
            return raised_row(key, clause, observed, self.deviations)
        undeclared = next(self._undetermined(key[0]), None)
        if undeclared is not None:
            return outcome_row(key, clause, "open", observed, f"{undeclared.choice} is undeclared")
        if isinstance(declared, Refused):
            return outcome_row(key, clause, "agrees", observed, _refusal(observed))
        return raised_row(key, clause, observed, self.deviations)

    def _undetermined(self, step: int) -> Iterator[Undetermined]:
        for (number, _), predicted in self.by_declaration.items():
            if number == step and isinstance(predicted, Undetermined):
                yield predicted

    def _group(self, key: Key, choice: Undetermined, observed: Array | Raised | None) -> str:
        return group(self.question, self.observation.dialect, key, choice, observed)

    def _array(self, key: Key, clause: str, observed: Array) -> QuantityRow:
        reference, declared = _expected(self.by_reference, key), _expected(self.by_declaration, key)
        if declared is reference and not self.deviations:  # nearly always, and nothing else is to be weighed
            return self._plain(key, clause, observed, compare(observed, reference))
        claims = Claims(observed, reference, declared)
        records, recorded = self._recorded(key, claims) if self.deviations else ((), None)
        if recorded is not None:
            claims = replace(claims, recorded=recorded)
        ruled = ruling(claims)
        if recorded is not None and not ruled.by_record:
            records, claims = (), replace(claims, recorded=None)
        final = claims.by_recorded
        shown = final if isinstance(claims.by_reference, Mismatch) else claims.by_reference
        why = _why(ruled, records)
        if isinstance(shown, Mismatch):
            return outcome_row(key, clause, ruled.verdict, None, why or shown.reason, observed)
        alike = claims.recorded is None and self.alike
        return array_row(
            key, clause, ruled.verdict, shown, final if isinstance(final, Comparison) and ruled.discriminates else None,
            discriminates=None if alike else ruled.discriminates,
            explanation=why, deviation=" + ".join(record.name for record in records) or None,
            variant=self._choices(key, declared) if ruled.verdict == "deviates" and not records else None,
        )  # fmt: skip

    def _plain(self, key: Key, clause: str, observed: Array, compared: Comparison | Mismatch) -> QuantityRow:
        verdict = graded(compared).verdict
        if isinstance(compared, Mismatch):
            return outcome_row(key, clause, verdict, None, compared.reason, observed)
        return array_row(key, clause, verdict, compared, None, discriminates=None if self.alike else False)

    def _choices(self, key: Key, declared: Expected) -> str | None:
        """Name the declared options that set the prediction of a quantity apart from the reference's."""
        own, paper = asdict(self.declared.dialect), asdict(self.reference.dialect)
        unlike = [choice for choice in own if own[choice] != paper[choice]]
        if len(unlike) > 1:  # those without which the same would be predicted have no part in it
            unlike = [choice for choice in unlike if self._matters(key, declared, choice, paper[choice])] or unlike
        return " + ".join(option_name(choice, own[choice]) for choice in unlike) or None

    def _matters(self, key: Key, declared: Expected, choice: str, option: str) -> bool:
        changed: dict[str, Any] = {choice: option}
        rules = replace(self.declared, dialect=replace(self.declared.dialect, **changed))
        other = self.question.predict(rules).get(key)
        return not isinstance(other, Expected) or changes(declared, other)

    def _recorded(self, key: Key, claims: Claims) -> tuple[tuple[Deviation, ...], Expected | None]:
        """Return the records that change what is declared of the quantity, and what they predict together.

        One that makes no difference here is no reason to excuse anything; where the difference is small, it
        counts if it alone accounts for what is observed.
        """
        concerned = [record for record in self.deviations if record.concerns(key[1])]
        alone = {record: self.question.predict(apply(record.variants, self.declared)).get(key) for record in concerned}
        declared, unaccounted = claims.declared, not fits(claims.by_declared)
        effective = tuple(
            record for record, one in alone.items() if isinstance(one, Expected)
            and (changes(declared, one) or (unaccounted and fits(compare(claims.observed, one))))
        )  # fmt: skip
        if not effective:
            return (), None
        together = [variant for record in effective for variant in record.variants]
        return effective, _expected(self.question.predict(apply(together, self.declared)), key)


def _expected(prediction: Prediction, key: Key) -> Expected:
    expected = prediction[key]
    assert isinstance(expected, Expected)
    return expected


@lru_cache(maxsize=256)
def _rules(dialect: Dialect) -> Rules:
    """Return the rules of a dialect, the same object each time: what is predicted by them is found at once."""
    return Rules(dialect=dialect)


def _refusal(observed: Raised) -> str:
    return "its forward had failed" if observed.type == NO_FORWARD else "refused, as declared"


def _why(ruled: Ruling, records: tuple[Deviation, ...]) -> str | None:
    """Return the reason for the verdict: that of the record, or the declaration, where it deviates as expected."""
    if ruled.verdict == "deviates":
        reason = " ".join(record.reason for record in records) or "as the dialect declares"
        return f"{reason} ({ruled.why})" if ruled.why else reason
    return ruled.why


def _order(key: Key) -> tuple[int, int, str]:
    names = ("outcome", "y", "running_mean", "running_var", "dx", "dgamma", "dbeta")
    return key[0], names.index(key[1]) if key[1] in names else len(names), key[1]
