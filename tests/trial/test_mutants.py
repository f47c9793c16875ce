"""Mutants: every variant put in as an implementation is caught, and named for what it is."""

from __future__ import annotations

import pytest

from conformance.corpus.load import load_corpus
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS
from conformance.trial.mutants import Kill, kills, mutants, verdict

CASES = load_corpus()
# One for each way in which a variant can show: values, state, gradients, precision, dtype, errors.
NAMES = (
    "epsilon outside the root", "population running variance", "first update blends", "state updated by the backward",
    "statistics detached in train", "backward of the latest forward", "one-pass variance", "state kept in float32",
    "gradient of the statistics refused", "gradient terms in the input's precision",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_is_caught_and_named(name: str) -> None:
    """A mutant's best case is off by ten plain bounds and more, and the judge names the variant."""
    (kill,) = kills(CASES, (name,))
    assert "named" == verdict(kill), kill


def test_every_mutant_declares_what_it_does_not_do() -> None:
    """No mutant runs under the rules that it declares."""
    assert [] == [one.variant.name for one in mutants() if one.rules == Rules(dialect=one.declared)]
    assert len(VARIANTS) == len(mutants())


@pytest.mark.parametrize(
    ("caught", "margin", "named", "said"),
    [
        (0, 0.0, 0, "SURVIVES"),
        (2, 9.0, 1, "SURVIVES"),
        (2, 11.0, 0, "caught under another name"),
        (2, 11.0, 1, "named"),
    ],
)
def test_verdict(caught: int, margin: float, named: int, said: str) -> None:
    """A mutant that nothing tells by ten plain bounds survives, whatever it is called."""
    assert said == verdict(Kill("any", caught, caught, named, margin, "", ()))
