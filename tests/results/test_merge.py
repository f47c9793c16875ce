"""Merging: unions, what conflicts, and what is told of the parts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from conformance.errors import ResultsError
from conformance.results.merge import merge
from conformance.results.read import Results

Maker = Callable[..., Results]
OLD, NEW = "torch@2.1:eager:cpu", "torch@2.2:eager:cpu"


def test_union(results: Maker) -> None:
    """Cases, implementations and cells of both are there, and the runs behind them."""
    merged = merge(
        [results({("a/one", OLD): "agrees"}), results({("a/one", NEW): "differs", ("a/two", NEW): "agrees"})]
    )
    assert ["a/one", "a/two"] == [case.id for case in merged.run.cases]
    assert [OLD, NEW] == [row.id for row in merged.run.implementations]
    assert 3 == len(merged.cells)
    assert [(1, (OLD,)), (2, (NEW,))] == [(part.cells, part.implementations) for part in merged.run.runs]
    assert merged.complete
    assert 4.0 == merged.seconds


def test_the_same_cell_twice(results: Maker) -> None:
    """A cell that two files give the same verdict is kept once."""
    one = results({("a/one", OLD): "agrees"})
    assert one.cells == merge([one, one]).cells


def test_conflicting_cells_are_refused(results: Maker) -> None:
    """A cell that two files judge differently is refused, both files named."""
    one, other = results({("a/one", OLD): "agrees"}), results({("a/one", OLD): "differs"})
    expected = f"a/one on {OLD}: agrees in x.jsonl, differs in y.jsonl"
    with pytest.raises(ResultsError, match=expected):
        merge([one, other], ["x.jsonl", "y.jsonl"])


def test_conflicting_columns_are_refused(results: Maker) -> None:
    """An implementation id that two files describe differently is refused."""
    one = results({("a/one", OLD): "agrees"})
    with pytest.raises(
        ResultsError,
        match=r"x and y: torch@2\.1:eager:cpu differs in dialect running_variance \(sample and population\)",
    ):
        merge([one, results({("a/two", OLD): "agrees"}, dialect="population")], ["x", "y"])


def test_different_corpora_are_noted(results: Maker) -> None:
    """A case with another text stays with its run, and a note says so."""
    merged = merge(
        [results({("a/one", OLD): "agrees"}), results({("a/one", NEW): "agrees"}, text="other", digest="d2")]
    )
    assert ["", "1 of its cases have another text than shown here"] == [part.note for part in merged.run.runs]
    assert ["other"] == [case.fact for case in merged.run.runs[1].cases]
    assert merged.run.cases_digest not in ("d1", "d2")


def test_partial_and_filtered_parts_show(results: Maker) -> None:
    """A merge with a partial or filtered part is partial and filtered."""
    merged = merge(
        [results({("a/one", OLD): "agrees"}), results({("a/two", NEW): "agrees"}, complete=False, selection="a/two")]
    )
    assert not merged.complete
    assert "a/two" == merged.run.selection


def test_merging_merges(results: Maker) -> None:
    """Merging what was merged keeps the runs at the bottom."""
    parts = [results({("a/one", identifier): "agrees"}) for identifier in (OLD, NEW, "flax@0.9:jit:cpu")]
    assert merge(parts).run.runs == merge([merge(parts[:2]), parts[2]]).run.runs


def test_nothing_to_merge() -> None:
    """Merging nothing is refused."""
    with pytest.raises(ResultsError, match="nothing to merge"):
        merge([])


def test_later_suites_may_state_more(results: Maker) -> None:
    """A choice that only one file states is taken over."""
    one, other = results({("a/one", OLD): "agrees"}), results({("a/two", OLD): "agrees"})
    column = msgspec.structs.replace(other.run.implementations[0], dialect={"frozen": "C"})
    other = msgspec.structs.replace(other, run=msgspec.structs.replace(other.run, implementations=(column,)))
    assert {"running_variance": "sample", "frozen": "C"} == merge([one, other]).run.implementations[0].dialect
