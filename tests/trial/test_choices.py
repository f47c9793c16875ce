"""Every option of every choice is told from the others by some case."""

from __future__ import annotations

from conformance.corpus.load import load_corpus
from conformance.trial.choices import indistinct_options

CORPUS = load_corpus()


def test_the_corpus_tells_all_options_apart() -> None:
    """No pair of options goes through the corpus unseen."""
    assert [] == list(indistinct_options(CORPUS))


def test_a_choice_without_a_case_is_named() -> None:
    """A choice whose clause no case cites is unused."""
    without = [case for case in CORPUS if "10.1" not in case.clauses]
    assert ["the choice frozen is unused: no case cites clause 10.1"] == list(indistinct_options(without))


def test_a_pair_that_no_case_separates_is_named() -> None:
    """Cases with momentum one half cannot tell whether it weighs the new batch or the old state."""
    halved = [case for case in CORPUS if "3.1" not in case.clauses or case.momentum == 0.5]
    assert "the choice momentum: no case of clause 3.1 tells new from old" in list(indistinct_options(halved))
