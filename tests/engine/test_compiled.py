"""What compiled executions are asked where nobody says."""

from __future__ import annotations

import pytest

from conformance.corpus.case import Case
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.engine.compiled import PART, part_asked

COMPILED = ["numpy", "torch:compile", "keras-tensorflow:graph", "keras-tensorflow:xla", "flax-linen:jit"]


def test_compiled_executions_alone_are_asked_a_part() -> None:
    """Each pattern of the part covers cases, and all together less than half of the default set."""
    corpus = load_corpus()
    patterns = part_asked(COMPILED, corpus, [])
    assert list(PART) == patterns
    assert 0 < len(select(corpus, patterns)) < len(corpus) / 2


@pytest.mark.parametrize("others", ["torch", "torch-func:vmap", "mine:Adapter"])
def test_beside_another_they_are_asked_everything(others: str) -> None:
    """Where anybody else is asked, all are asked the same."""
    assert [] == part_asked([*COMPILED, others], load_corpus(), [])


def test_the_canary_alone_is_asked_everything() -> None:
    """A run without an implementation is no run of compiled ones."""
    assert [] == part_asked(["numpy"], load_corpus(), [])


def test_what_is_given_is_asked() -> None:
    """A pattern of the user's takes the place of the part."""
    assert ["evaluate/*"] == part_asked(COMPILED, load_corpus(), ["evaluate/*"])


def test_another_corpus_is_asked_whole(cases: tuple[Case, ...]) -> None:
    """A corpus without any area of the part is not filtered by it."""
    assert [] == part_asked(COMPILED, cases, [])
