"""Honest implementations are never accused: a part of benchmarks/bounds_trial.py."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.load import load_corpus
from conformance.trial import sums
from conformance.trial.accusations import trial
from conformance.trial.honest import HonestAdapter, Orders
from conformance.trial.mutants import observe
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

ORDERS = {
    "pairwise": Orders(),
    "sequential": Orders(sums="sequential"),
    "blocked": Orders(sums="blocked 8", normalise="scale first", backward="sums"),
    "Welford": Orders(variance="Welford", normalise="divided", backward="autodiff", update="incremental"),
    "merged": Orders(variance="Welford merged", backward="projection", update="complement"),
    "shifted": Orders(variance="shifted one-pass", normalise="approximate root", update="blend rounded"),
    "folded": Orders(normalise="folded", backward="uncentred"),
}


# What honest layers have: forwards, backwards and updates.
WANTED = {"train", "evaluate", "backward", "through_update", "name", "gradients", "dy", "observe", "same_as"}


def is_asked(case: Case) -> bool:
    """Tell whether an honest layer can do the case."""
    given = {name for step in case.steps for name in msgspec.to_builtins(step)}
    return case.tracked and not case.open and given <= WANTED


ASKED = [case for case in load_corpus() if is_asked(case)][::4]


@pytest.mark.parametrize("seed", range(6))
def test_random_cases(seed: int) -> None:
    """Rounding takes no honest implementation out of the plain bound, nor a pairwise one out of the tight."""
    measured = list(trial(cases=100, implementations=3, seed=1000 + seed))
    assert [] == [one for one in measured if one.accused]
    assert [] == [one for one in measured if one.orders.good and not one.tight <= 1]


def test_a_dishonest_one_is_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variance by avg(x^2) - mean^2 leaves the bound, or the trial would show nothing."""
    for name in sums.VARIANCES:
        monkeypatch.setitem(sums.VARIANCES, name, _one_pass)
    assert any(one.accused for one in trial(cases=20, implementations=2, seed=1))


@pytest.mark.parametrize("order", ORDERS)
def test_corpus(order: str) -> None:
    """An honest implementation fails no case of the corpus that it can do."""
    adapter, failing = HonestAdapter(ORDERS[order]), []
    for case in ASKED:
        question = Question(case)
        rows = judge(question, observe(adapter, question), explaining=False)
        failing += [(case.id, row) for row in rows if row.verdict in ("differs", "changed")]
    assert [] == failing


POISONED = [case for case in load_corpus() if is_asked(case) and case.file == "nan"]


@pytest.mark.parametrize("order", ["pairwise", "Welford", "merged"])
def test_an_infinity_may_become_nan(order: str) -> None:
    """What an infinity makes of its channel depends on the order, inf or NaN: neither is accused, a number is."""
    adapter, seen = HonestAdapter(ORDERS[order]), set()
    for case in POISONED:
        question = Question(case)
        observation = observe(adapter, question)
        mean = observation.outcomes.get((1, "running_mean"))
        seen |= {str(mean[0])} if isinstance(mean, np.ndarray) else set()
        rows = judge(question, observation, explaining=False)
        assert {"agrees", "rough"} >= {row.verdict for row in rows}, case.id
    assert seen >= ({"nan", "inf"} if order == "pairwise" else {"nan"})
    assert ("inf" in seen) == (order == "pairwise")


def test_an_infinity_that_vanishes_is_accused() -> None:
    """A channel that an infinity went through has no finite statistics."""
    question = Question(next(case for case in POISONED if case.input("a").poison == "inf" and case.steps[0].train))
    observation = observe(HonestAdapter(), question)
    for key, outcome in observation.outcomes.items():
        if key[1] == "running_mean" and isinstance(outcome, np.ndarray):
            outcome[0] = 0
    verdicts = {row.name: row.verdict for row in judge(question, observation, explaining=False)}
    assert "differs" == verdicts["running_mean"]


def _one_pass(rows: sums.Array, total: sums.Sum) -> tuple[sums.Array, sums.Array]:
    n = rows.dtype.type(rows.shape[1])
    mean = total(rows) / n
    return mean, abs(total(rows * rows) / n - mean * mean)
