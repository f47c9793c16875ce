"""Merging: unions, what conflicts, and what is told of the parts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from conformance.errors import ResultsError
from conformance.results.merge import merge
from conformance.results.read import Results
from conformance.results.rows import ChoiceRow, DeviationRow, Verdict

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
    """An implementation id that two files describe differently is refused where nothing tells the files apart."""
    one = results({("a/one", OLD): "agrees"})
    with pytest.raises(
        ResultsError,
        match=r"x and y: torch@2\.1:eager:cpu differs in dialect running_variance \(sample and population\)",
    ):
        merge([one, results({("a/two", OLD): "agrees"}, dialect="population")], ["x", "y"])


def described(one: Results, **fields: object) -> Results:
    """Return the results with their first column described otherwise."""
    column = msgspec.structs.replace(one.run.implementations[0], **fields)  # type: ignore[arg-type]
    return msgspec.structs.replace(one, run=msgspec.structs.replace(one.run, implementations=(column,)))


APART = [
    ({"versions": {"flax": "2.1", "jax": "0.7"}}, {"versions": {"flax": "2.1", "jax": "0.9"}}, "+jax-0.7", "+jax-0.9"),
    ({"settings": {"x64": "on"}}, {"settings": {"x64": "not at all"}}, "+x64-on", "+x64-not-at-all"),
    ({"provenance": "recorded"}, {}, "+recorded", "+executed"),
]


@pytest.mark.parametrize(("one", "other", "first", "second"), APART, ids=["versions", "settings", "provenance"])
def test_columns_of_one_id_are_told_apart(
    results: Maker, one: dict[str, object], other: dict[str, object], first: str, second: str
) -> None:
    """Columns of one id get ids that say what they differ in; cells and runs follow."""
    told: list[tuple[Verdict, dict[str, object]]] = [("agrees", one), ("differs", other)]
    merged = merge([described(results({("a/one", OLD): verdict}), **own) for verdict, own in told])
    expected = [f"torch@2.1{first}:eager:cpu", f"torch@2.1{second}:eager:cpu"]
    assert sorted(expected) == sorted(row.id for row in merged.run.implementations)
    assert [(expected[0], "agrees"), (expected[1], "differs")] == [(c.implementation, c.verdict) for c in merged.cells]
    assert [(expected[0],), (expected[1],)] == [part.implementations for part in merged.run.runs]


def test_dialects_of_two_corpora_are_told_apart(results: Maker) -> None:
    """A column that declares another dialect in another run stands beside the first."""
    one = results({("a/one", OLD): "agrees"})
    other = results({("a/one", OLD): "deviates"}, dialect="population", digest="d2")
    assert ["torch@2.1+corpus-d1:eager:cpu", "torch@2.1+corpus-d2:eager:cpu"] == [
        row.id for row in merge([one, other]).run.implementations
    ]


def test_machines_are_told_apart_on_request(results: Maker) -> None:
    """With `apart`, columns that give a case different verdicts on two machines are both kept."""
    parts = []
    for verdict, processor in (("agrees", "AMD EPYC"), ("differs", "M1")):
        one = results({("a/one", OLD): verdict})
        machine = {"system": "Linux", "processor": processor}
        parts.append(msgspec.structs.replace(one, run=msgspec.structs.replace(one.run, machine=machine)))
    merged = merge(parts, apart=True)
    assert {"torch@2.1+processor-AMD-EPYC:eager:cpu", "torch@2.1+processor-M1:eager:cpu"} == {
        row.id for row in merged.run.implementations
    }


def test_what_is_alike_keeps_its_id(results: Maker) -> None:
    """A column that two files describe alike is one, also with `apart`."""
    one, other = results({("a/one", OLD): "agrees"}), results({("a/two", OLD): "differs"}, digest="d2")
    assert [OLD] == [row.id for row in merge([one, other], apart=True).run.implementations]


def test_records_and_variants_are_joined(results: Maker) -> None:
    """What either run says of records, variants and choices is kept."""
    parts = []
    for name in ("x", "y"):
        one = results({("a/one", OLD): "agrees"})
        run = msgspec.structs.replace(
            one.run, deviations={name: DeviationRow(implementation="torch")}, variants={name: "It is."},
            choices={name: ChoiceRow(clause="3.2")},
        )  # fmt: skip
        parts.append(msgspec.structs.replace(one, run=run))
    run = merge(parts).run
    assert {"x", "y"} == set(run.deviations) == set(run.variants) == set(run.choices)


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
    assert "in 1 of 2 merged runs, a/two" == merged.run.selection


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
