"""Comparing two runs: each cell stands in one list, versions are matched by their column."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.results.diff import diff
from conformance.results.read import Results
from conformance.results.rows import Verdict

Maker = Callable[..., Results]
OLD, NEW = "torch@2.1:eager:cpu", "torch@2.2:eager:cpu"
LISTS = ("added", "removed", "changed", "regressed", "mended")

KINDS: list[tuple[Verdict, Verdict, str]] = [
    ("agrees", "differs", "regressed"), ("deviates", "changed", "regressed"), ("rough", "crashed", "regressed"),
    ("differs", "agrees", "mended"), ("crashed", "rough", "mended"),
    ("agrees", "rough", "changed"), ("agrees", "unsupported", "changed"), ("differs", "crashed", "changed"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), KINDS, ids=[f"{old}-{new}" for old, new, _ in KINDS])
def test_kinds(results: Maker, old: Verdict, new: Verdict, expected: str) -> None:
    """A cell that changed between versions stands in one list."""
    difference = diff(results({("a/one", OLD): old}), results({("a/one", NEW): new}))
    assert [expected] == [name for name in LISTS if getattr(difference, name)]
    change = getattr(difference, expected)[0]
    assert ("torch:eager:cpu", "2.1", "2.2") == (change.implementation, change.old_version, change.new_version)
    assert (old, new) == (change.old, change.new)


def test_added_and_removed(results: Maker) -> None:
    """Cells that only one run has are listed apart."""
    difference = diff(results({("a/one", OLD): "agrees"}), results({("a/two", OLD): "differs"}))
    assert (["a/two"], ["a/one"]) == ([c.case for c in difference.added], [c.case for c in difference.removed])
    assert not difference.regressed


def test_unchanged(results: Maker) -> None:
    """The same verdict for the same reason is unchanged."""
    one = results({("a/one", OLD): "deviates", ("a/two", OLD): "agrees"})
    assert 2 == diff(one, one).unchanged


def test_another_reason_is_a_change(results: Maker) -> None:
    """The same verdict for another reason is a change, told by quantity."""
    difference = diff(
        results({("a/one", OLD): "deviates"}, variant="x"), results({("a/one", OLD): "deviates"}, variant="y")
    )
    assert "step 1 y: deviates x -> deviates y" == difference.changed[0].detail


def test_same_ids_are_matched_first(results: Maker) -> None:
    """With several versions in a run, those in both are matched, the rest only where it is plain which."""
    old = results({("a/one", OLD): "agrees", ("a/one", NEW): "agrees"})
    difference = diff(old, results({("a/one", NEW): "differs"}))
    assert ["2.2"] == [change.new_version for change in difference.regressed]
    assert ["2.1"] == [change.old_version for change in difference.removed]


def test_dialects_and_questions_that_changed(results: Maker) -> None:
    """A choice that is declared otherwise, and a case with another text, are named apart from the cells."""
    old = results({("a/one", OLD): "agrees"})
    new = results({("a/one", NEW): "deviates"}, dialect="population", text="another fact")
    difference = diff(old, new)
    (change,) = difference.meanings
    assert ("torch:eager:cpu", "running_variance", "sample", "population") == (
        change.implementation, change.choice, change.old, change.new,
    )  # fmt: skip
    assert ("2.1", "2.2") == (change.old_version, change.new_version)
    assert ("a/one",) == difference.questions


def test_naming_a_choice_is_no_change(results: Maker) -> None:
    """A file of an earlier suite, whose declared deviations name no choice, is not held against it."""
    difference = diff(results({("a/one", OLD): "deviates"}), results({("a/one", OLD): "deviates"}, variant="x"))
    assert 1 == difference.unchanged


# what explains the quantity before and now, with its verdict; the dialects; the change that is named
SEEN: list[tuple[tuple[Verdict, str | None], tuple[Verdict, str | None], str]] = [
    (("differs", "population running variance"), ("agrees", None), "running variance: population -> sample"),
    (("agrees", None), ("deviates", "population running variance"), "running variance: sample -> population"),
    (("differs", "frozen: batch statistics, state stays"), ("differs", "frozen: running statistics"),
     "frozen: B -> C"),
    (("differs", "epsilon missing"), ("differs", "epsilon outside"), ""),
    (("unsupported", None), ("deviates", "population running variance"), ""),
]


@pytest.mark.parametrize(("old", "new", "named"), SEEN, ids=[str(named or at) for at, (*_, named) in enumerate(SEEN)])
def test_a_change_of_choice_is_named(
    results: Maker, old: tuple[Verdict, str | None], new: tuple[Verdict, str | None], named: str
) -> None:
    """Where what explains a quantity is another option of a choice, the choice is named with both, undeclared."""
    (was, was_named), (now, now_named) = old, new
    difference = diff(
        results({("a/one", OLD): was}, variant=was_named), results({("a/one", NEW): now}, variant=now_named)
    )
    assert [named] * bool(named) == [str(change) for change in difference.meanings]
    assert [(False, 1)] * bool(named) == [(change.declared, change.cells) for change in difference.meanings]


def test_what_is_declared_is_not_told_twice(results: Maker) -> None:
    """A change of choice that is declared and seen is one change, a declared one."""
    old = results({("a/one", OLD): "deviates"}, variant="population running variance", dialect="population")
    (change,) = diff(old, results({("a/one", NEW): "agrees"})).meanings
    assert ("running variance: population -> sample", True) == (str(change), change.declared)


def test_what_is_declared_alike_has_not_changed(results: Maker) -> None:
    """Where both runs deviate as declared, a choice that only one explanation names is no change."""
    old = results({("a/one", OLD): "deviates"}, variant="population running variance", dialect="population")
    new = results({("a/one", NEW): "deviates"}, variant="updates debiased", dialect="population")
    assert ["first update: blend -> debias"] == [
        str(change) for change in diff(old, new).meanings if change.choice != "running_variance"
    ]
    assert "running_variance" not in {change.choice for change in diff(old, new).meanings}
