"""The verdict of each quantity of a cell, against the reference and the declared dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from conformance.definition.prediction import Expected, Key, Predicted, Refused, Undetermined
from conformance.definition.rules import Rules
from conformance.definition.variants import apply
from conformance.host.observation import Observation, Raised
from conformance.results.rows import QuantityRow, Verdict
from conformance.verdict.attribution import clause_of
from conformance.verdict.compare import Array, Comparison, Mismatch, apart, compare, widened
from conformance.verdict.deviations import Deviation
from conformance.verdict.explain import Explanation, explain
from conformance.verdict.group import group
from conformance.verdict.oracle import Question
from conformance.verdict.quantity import array_row, open_row, outcome_row

__all__ = ["judge"]


def judge(
    question: Question, observation: Observation, deviations: tuple[Deviation, ...] = ()
) -> tuple[QuantityRow, ...]:
    """Judge every predicted quantity, and every error raised, in the order of the steps.

    ``deviations`` are the recorded ones that concern this case on this implementation. No quantity
    that was predicted is left out: one that is missing differs.
    """
    judgement = _Judgement(question, observation, deviations)
    keys = judgement.judged()
    rows = [judgement.row(key) for key in keys]
    unexplained = [key for key, row in zip(keys, rows, strict=True) if _needs_explaining(row)]
    if unexplained:
        arrays = {key: value for key, value in observation.outcomes.items() if not isinstance(value, Raised)}
        found = explain(question, judgement.declared, arrays, [key for key in unexplained if key in arrays])
        rows = [_explained(row, found.get((row.step, row.name))) for row in rows]
    return tuple(rows)


def _needs_explaining(row: QuantityRow) -> bool:
    return row.verdict in ("differs", "changed") and row.observed is not None


def _explained(row: QuantityRow, explanation: Explanation | None) -> QuantityRow:
    if explanation is None:
        return row
    said = f"{row.explanation}; " if row.explanation else ""
    return msgspec.structs.replace(row, variant=explanation.variant, explanation=said + explanation.text)


@dataclass(frozen=True)
class _Judgement:
    question: Question
    observation: Observation
    deviations: tuple[Deviation, ...]

    @property
    def declared(self) -> Rules:
        return Rules(dialect=self.observation.dialect)

    def judged(self) -> tuple[Key, ...]:
        """Return what is judged: all predictions, and all errors raised; what an error prevented is left to it."""
        predicted = self.question.predict(self.declared)
        raised = {step for (step, _), outcome in self.observation.outcomes.items() if isinstance(outcome, Raised)}
        keys = {key for key in predicted if key in self.observation.outcomes or key[0] not in raised}
        if 0 in raised:
            keys = set()
        return tuple(sorted(keys | {(step, "outcome") for step in raised}, key=_order))

    def row(self, key: Key) -> QuantityRow:
        clause = clause_of(self.question.case, key)
        observed = self.observation.outcomes.get(key)
        declared = self.question.predict(self.declared).get(key)
        if isinstance(declared, Undetermined):
            return open_row(key, clause, self._group(key, declared, observed))
        if isinstance(observed, Raised):
            return self._raised(key, clause, observed, declared)
        if isinstance(declared, Refused):
            return outcome_row(key, clause, "differs", None, "raised nothing, expected an error")
        assert isinstance(declared, Expected)
        if observed is None:
            return outcome_row(key, clause, "differs", None, f"{key[1]} is missing")
        return self._array(key, clause, observed)

    def _raised(self, key: Key, clause: str, observed: Raised, declared: Predicted | None) -> QuantityRow:
        undeclared = next(self._undetermined(key[0]), None)
        if undeclared is not None:
            return outcome_row(key, clause, "open", observed, f"{undeclared.choice} is undeclared")
        if isinstance(declared, Refused):
            return outcome_row(key, clause, "agrees", observed, "refused, as declared")
        if observed.type == "Unsupported":
            return outcome_row(key, clause, "unsupported", observed, observed.message)
        return outcome_row(key, clause, "differs", observed, f"raised {observed.type}, expected an answer")

    def _undetermined(self, step: int) -> Iterator[Undetermined]:
        for (number, _), predicted in self.question.predict(self.declared).items():
            if number == step and isinstance(predicted, Undetermined):
                yield predicted

    def _group(self, key: Key, choice: Undetermined, observed: Array | Raised | None) -> str:
        return group(self.question, self.observation.dialect, key, choice, observed)

    def _array(self, key: Key, clause: str, observed: Array) -> QuantityRow:
        verdict: Verdict
        reference = self._expected(Rules(dialect=self.observation.dialect.reference()), key)
        recorded = next((d for d in self.deviations if d.concerns(key[1])), None)
        rules = apply(recorded.variants, self.declared) if recorded is not None else self.declared
        declared = self._expected(rules, key)
        against_reference, against_declared = compare(observed, reference), compare(observed, declared)
        if isinstance(against_declared, Mismatch):
            verdict = "differs" if recorded is None else "changed"
            return outcome_row(key, clause, verdict, None, against_declared.reason, observed)
        if isinstance(against_reference, Mismatch):
            verdict = "deviates" if against_declared.plain else "changed"
            return array_row(
                key, clause, verdict, against_declared, against_declared, discriminates=True,
                explanation=f"{against_reference.reason}: {_reason(recorded)}", deviation=_name(recorded),
            )  # fmt: skip
        discriminates = apart(reference, declared) or (recorded is not None and widened(reference, declared))
        verdict, why = _verdict(against_reference, against_declared, recorded, discriminates=discriminates)
        alike = rules == Rules(dialect=self.observation.dialect.reference())
        return array_row(
            key, clause, verdict, against_reference, against_declared if discriminates else None,
            discriminates=None if alike else discriminates, explanation=why,
            deviation=_name(recorded) if discriminates else None,
        )  # fmt: skip

    def _expected(self, rules: Rules, key: Key) -> Expected:
        expected = self.question.predict(rules)[key]
        assert isinstance(expected, Expected)
        return expected


def _verdict(
    reference: Comparison, declared: Comparison, recorded: Deviation | None, *, discriminates: bool
) -> tuple[Verdict, str | None]:
    """Apply the table of docs/results.md: how one quantity is judged."""
    if not discriminates:
        return ("agrees" if reference.tight else "rough" if reference.plain else "differs"), None
    if reference.plain:
        stale = "record" if recorded is not None else "declaration"
        return "changed", f"agrees with the reference: the {stale} is stale"
    if declared.plain:
        reason = _reason(recorded)
        return "deviates", reason if declared.tight else f"{reason} (within the plain bound only)"
    if recorded is not None:
        return "changed", f"deviates in another way than recorded ({' + '.join(recorded.variants)})"
    return "differs", "fits neither the reference nor the declared dialect"


def _reason(recorded: Deviation | None) -> str:
    return recorded.reason if recorded is not None else "as the dialect declares"


def _name(recorded: Deviation | None) -> str | None:
    return recorded.name if recorded is not None else None


def _order(key: Key) -> tuple[int, int, str]:
    names = ("outcome", "y", "running_mean", "running_var", "dx", "dgamma", "dbeta")
    return key[0], names.index(key[1]) if key[1] in names else len(names), key[1]
