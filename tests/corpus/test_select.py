"""One pattern syntax selects cases."""

from __future__ import annotations

import re
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.corpus.load import load_corpus
from conformance.corpus.select import in_set, matches, refuse_unknown_tags, select
from conformance.errors import UsageError

CORPUS = load_corpus()
IDS = [case.id for case in CORPUS]

MATCHES = [
    ("f/n", "f/n", True),
    ("f/n", "f/n[a=1]", True),
    ("f/n", "f/nn", False),
    ("f/n", "g/n", False),
    ("f/n[*]", "f/n", True),
    ("f/n[*]", "f/n[a=1,b=2]", True),
    ("f/n[a=1]", "f/n[a=1]", True),
    ("f/n[a=1]", "f/n[a=1,b=2]", False),
    ("f/n[a=1]", "f/n", False),
    ("f/n[a=1,*]", "f/n[a=1,b=2]", True),
    ("f/n[b=2,*]", "f/n[a=1,b=2]", True),
    ("f/n[b=2,a=1]", "f/n[a=1,b=2]", True),
    ("f/n[a=1,*]", "f/n[a=10,b=2]", False),
    ("f/n[epsilon=1e-12]", "f/n[epsilon=1e-12]", True),
    ("f/*", "f/n[a=1]", True),
    ("f/*", "f/g/n", False),
    ("*/n", "f/n[a=1]", True),
    ("*/*[a=1,*]", "f/n[a=1,b=2]", True),
    ("*/*[a=1,*]", "f/n[b=2]", False),
    ("*", "f/n", False),
    ("*/*/*", "f/g/n", True),
    ("f/*/n", "f/g/n", True),
]

MALFORMED = {
    "f/n*": "partial wildcard 'n*'",
    "f*/n": "partial wildcard 'f*'",
    "**/n": "partial wildcard '**'",
    "f/n[a=*]": "partial wildcard 'a=*'",
    "f//n": "empty segment",
    "/n": "empty segment",
    "": "odd bracket or no name",
    "f/": "odd bracket or no name",
    "f/n[a=1": "odd bracket",
    "f/n]": "odd bracket",
    "f/[a=1]": "odd bracket or no name",
    "f/n[]": "expected parameter=value",
    "f/n[a=1,,b=2]": "expected parameter=value",
    "f/n[a]": "expected parameter=value",
    "f/n[*,a=1]": "found `*` before other parameters",
}


@pytest.mark.parametrize(("pattern", "case_id", "expected"), MATCHES)
def test_patterns(pattern: str, case_id: str, *, expected: bool) -> None:
    """A pattern covers whole segments, and the parameters that it names."""
    assert expected is matches(pattern, case_id)


@pytest.mark.parametrize(("pattern", "message"), MALFORMED.items())
def test_malformed_patterns(pattern: str, message: str) -> None:
    """A malformed pattern is refused with what is odd about it."""
    with pytest.raises(UsageError, match=re.escape(message)):
        matches(pattern, "f/n")


@given(st.sampled_from(IDS))
def test_an_id_covers_itself_alone(case_id: str) -> None:
    """Every id, put as a pattern, selects exactly its own case; its name all variations."""
    assert [case_id] == [case.id for case in select(CORPUS, [case_id])] or "[" not in case_id
    name = case_id.partition("[")[0]
    assert [each for each in IDS if each.partition("[")[0] == name] == [c.id for c in select(CORPUS, [name])]


@given(st.sampled_from(IDS), st.randoms(use_true_random=False))
def test_fewer_parameters_cover_more(case_id: str, random: Random) -> None:
    """Leaving parameters open never loses a case."""
    path, bracket, rest = case_id.partition("[")
    if bracket:
        parameters = rest.rstrip("]").split(",")
        kept = random.sample(parameters, random.randint(0, len(parameters)))
        assert matches(f"{path}[{','.join([*kept, '*'])}]", case_id)


@given(st.text("fn*[],=/a1", max_size=12))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    """A text is understood or refused with the syntax, never anything else."""
    refusal = None
    try:
        matches(text, "f/n[a=1]")
    except UsageError as error:
        refusal = str(error)
    assert refusal is None or "one whole segment" in refusal


def test_no_pattern_selects_all() -> None:
    """Without a pattern every case is asked."""
    assert select(CORPUS, []) == CORPUS


def test_the_order_is_that_of_the_corpus() -> None:
    """The order of the patterns has no part in that of the cases, and none comes twice."""
    chosen = select(CORPUS, ["running_stats/*", "evaluate/*", "running_stats/probe"])
    assert [case for case in CORPUS if case.file in ("evaluate", "running_stats")] == list(chosen)


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("running_stats", "for the whole file write running_stats/\\*"),
        ("running_stats/momentun", "near ones: running_stats/momentum"),
        ("scenarios/*", "a folder further down it is scenarios/\\*/\\*"),
        ("running_stats/probe[dtype=float16]", "near ones: running_stats/probe\\[dtype=float"),
        ("§§§", "`conformance list --cases` prints every id"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(pattern: str, hint: str) -> None:
    """A pattern without a case names what comes near."""
    with pytest.raises(UsageError, match=hint):
        select(CORPUS, ["evaluate/*", pattern])


@pytest.mark.parametrize(
    ("tags", "asked", "wanted"),
    [((), (), True), (("a",), (), False), (("a", "b"), ("b",), True), ((), ("b",), True), (("a",), ("b",), False)],
)
def test_a_tagged_case_is_in_the_set_that_asks_for_it(
    tags: tuple[str, ...], asked: tuple[str, ...], wanted: bool
) -> None:
    """A case without tags always is; one with tags where one of them is asked for."""
    case = msgspec.structs.replace(CORPUS[0], tags=tags)
    assert wanted == in_set(case, asked)


def test_an_unknown_tag_is_refused() -> None:
    """A tag that no case has is bad input."""
    with pytest.raises(UsageError, match="tag 'b' marks no case") as caught:
        refuse_unknown_tags(["a", "b"], [msgspec.structs.replace(CORPUS[0], tags=("a",))])
    assert "tags are: a" in str(caught.value)
