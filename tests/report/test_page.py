"""The page without a browser: findings, dialects, numbers in words, what leaves Python escaped."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest

from conformance.errors import ResultsError
from conformance.report.agreement import agreement, cluster
from conformance.report.compare_page import compare_page
from conformance.report.dialects import tabulate
from conformance.report.findings import find
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, outside
from conformance.report.open_page import gather
from conformance.report.page import render_page, write_report
from conformance.report.payload import safe_json
from conformance.report.quality import panels
from conformance.report.source import as_yaml
from conformance.report.wording import duration, ratio
from conformance.report.words import moment
from conformance.results.read import Results
from conformance.results.rows import CaseRow, CellRow, ImplementationRow, QuantityRow, RunRow

RATIOS = [
    (None, ""), (0.0, "0"), (0.0312, "0.031"), (0.5, "0.5"), (12.34, "12"), (3417.2, "3400"), (1.25e6, "1.2e6"),
    (2e5, "2e5"), (0.00004, "4e-5"), ("inf", "∞"), ("nan", "nan"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), RATIOS, ids=[expected or "none" for _, expected in RATIOS])
def test_ratio(value: float | str | None, expected: str) -> None:
    """A ratio has two significant digits."""
    assert expected == ratio(value)


def test_durations_and_moments() -> None:
    """Times are told as people tell them; what is no ISO 8601 moment stays as it is."""
    assert ["0.25 s", "42 s", "3 min 12 s", "2 h 5 min"] == [duration(s) for s in (0.25, 42, 192.4, 7500)]
    assert "2026-03-14 15:09 UTC" == moment("2026-03-14T15:09:26+00:00")
    assert "yesterday" == moment("yesterday")


def test_findings(sample: ModuleType) -> None:
    """Findings are grouped by what explains them, gravest first, declared dialects last."""
    found = [
        (one.verdict, one.record or one.variant or one.error, len(one.parties))
        for one in find(Grid(sample.sample_results()))
    ]
    assert ["void", "crashed", "differs", "differs", "differs", "differs", "changed", "deviates", "deviates"] == [
        verdict for verdict, _, _ in found
    ]
    assert ("differs", "raises ValueError", 1) in found
    assert ("deviates", "flax one-pass running variance", 1) == found[-2]
    assert ("deviates", "population running variance", 2) == found[-1]


def test_findings_count_cells_once(sample: ModuleType) -> None:
    """A finding counts each of its cells once, out of all cells of the implementation."""
    deviating = find(Grid(sample.sample_results()))[-1]
    assert [(6, 57), (4, 57)] == [(len(party.cases), party.out_of) for party in deviating.parties]


def test_a_finding_in_a_sentence(sample: ModuleType) -> None:
    """A finding says who, what, how much, in how many cases, since when, why and where it is reported."""
    text = re.sub("<[^>]+>", "", render_page(sample.many_results()))
    expected = (
        r"flax-linen 0\.12\.2 jit: running_var deviates in 2 of 57 cases, up to [\de.]+ times the bound, "
        r"since 0\.12\.2, not in 0\.10\.0, recorded for &gt;=0\.12: flax one-pass running variance\. "
        r"Reported upstream · Show 2 cells"
    )
    assert re.search(expected, text)


def test_dialects_are_told_by_choice(sample: ModuleType) -> None:
    """What deviates as declared is a finding for each choice, with what its option says."""
    page = render_page(sample.sample_results())
    assert "population running variance (The running variance blends in var itself)" in page


def test_only_addresses_of_the_web_are_links() -> None:
    """A link out of the page is http or https; anything else is text."""
    expected = '<a href="https://a.b/c?d" rel="noopener noreferrer" title="https://a.b/c?d">x</a>'
    assert expected == outside("https://a.b/c?d", "x")
    for address in ("javascript:alert(1)", "https://a b", "data:text/html,x", 'https://a"b', " https://a"):
        assert "<a" not in outside(address, "x")


def test_open_cases_are_grouped() -> None:
    """Parameters that were answered alike are one entry, with who did what."""
    columns = tuple(ImplementationRow(id=f"{name}@1:eager:cpu", name=name, versions={}) for name in ("one", "two"))
    cases = tuple(CaseRow(id=f"nan/recovery[momentum={at}]", fact="Open", clauses=("16.2",)) for at in (0, 1, 2))
    groups = [("raises ValueError", "NaN"), ("raises ValueError", "NaN"), ("NaN", "NaN")]
    cells = tuple(
        CellRow(case=case.id, implementation=column.id, verdict="open",
                quantities=(QuantityRow(step=1, name="outcome", clause="16.2", verdict="open", open=group),))
        for case, pair in zip(cases, groups, strict=True) for column, group in zip(columns, pair, strict=True)
    )  # fmt: skip
    found = gather(Grid(_results(cases, columns, cells)))
    assert [((0, 1), (("raises ValueError", (0,)), ("NaN", (1,)))), ((2,), (("NaN", (0, 1)),))] == [
        (one.cases, one.groups) for one in found
    ]


def test_agreement_counts_what_both_answered() -> None:
    """Alike is: both as the reference, the same variant, the same error, the same group; never what is unexplained."""
    rows = {
        "reference": [("agrees", None), ("rough", None), ("agrees", None)],
        "variant": [("deviates", "v"), ("differs", "v"), ("differs", "w")],
        "unexplained": [("differs", None), ("differs", None), ("agrees", None)],
        "lacking": [("agrees", None), ("unsupported", None), ("agrees", None)],
    }
    columns = tuple(ImplementationRow(id=f"{name}@1:eager:cpu", name=name, versions={}) for name in "abc")
    cases = tuple(CaseRow(id=f"x/{name}", fact="Fact", clauses=("1.1",)) for name in rows)
    cells = tuple(
        CellRow(case=case.id, implementation=column.id, verdict=verdict,
                quantities=(QuantityRow(step=1, name="y", clause="1.1", verdict=verdict, variant=variant),))
        for case, own in zip(cases, rows.values(), strict=True)
        for column, (verdict, variant) in zip(columns, own, strict=True)
    )  # fmt: skip
    found = agreement(Grid(_results(cases, columns, cells)))
    assert [[4, 3, 4], [3, 3, 3], [4, 3, 4]] == found.shared.tolist()
    assert [[3, 2, 2], [2, 2, 1], [2, 1, 4]] == found.alike.tolist()


def test_the_like_stand_side_by_side() -> None:
    """The order of the agreement matrix joins what is most alike."""
    share = np.array([[1, 0.1, 0.9, 0.2], [0.1, 1, 0.2, 0.8], [0.9, 0.2, 1, 0.1], [0.2, 0.8, 0.1, 1]])
    order = cluster(share)
    assert {0, 2} in ({*order[:2]}, {*order[2:]})
    assert sorted(order) == [0, 1, 2, 3]


def test_quality_is_told_against_the_declaration() -> None:
    """A panel has a line per implementation over the means, by the ratio to what each declares."""
    columns = (ImplementationRow(id="a@1:eager:cpu", name="a", versions={}),)
    cases = tuple(
        CaseRow(id=f"quality/q[x.offset={offset},dtype=float32]", fact="Fact", clauses=("12.1",),
                source={"x": {"offset": float(offset), "scale": 2.0}})
        for offset in (200, 20)
    )  # fmt: skip
    cells = tuple(
        CellRow(case=case.id, implementation="a@1:eager:cpu", verdict="deviates", quantities=(
            QuantityRow(step=1, name="y", clause="12.1", verdict="agrees", ratio=0.25),
            QuantityRow(step=1, name="running_var", clause="12.1", verdict="deviates", ratio=1e9, declared_ratio=0.5)))
        for case in cases
    )  # fmt: skip
    (panel,) = panels(Grid(_results(cases, columns, cells)))
    assert ("quality/q[dtype=float32]", ((10.0, 0.5), (100.0, 0.5))) == (panel.title, panel.series[0].points)


def _results(
    cases: tuple[CaseRow, ...], columns: tuple[ImplementationRow, ...], cells: tuple[CellRow, ...]
) -> Results:
    run = RunRow(suite="1", started="", machine={}, cases_digest="", cases=cases, implementations=columns)
    return Results(run=run, cells=cells, complete=True)


def test_compared_with_an_earlier_run(sample: ModuleType) -> None:
    """The page of two runs has five separate numbers and names a dialect that changed."""
    new = sample.sample_results()
    rows = [
        msgspec.structs.replace(row, dialect=row.dialect | {"running_variance": "population"})
        if row.name == "torch" else row for row in new.run.implementations
    ]  # fmt: skip
    cells = [
        msgspec.structs.replace(cell, verdict="agrees", quantities=()) if cell.verdict == "differs" else cell
        for cell in new.cells[1:]
    ]
    old = Results(run=msgspec.structs.replace(new.run, implementations=tuple(rows)), cells=tuple(cells), complete=True)
    text = re.sub("<[^>]+>", " ", compare_page(new, old))
    assert re.search(r"6\s+regressed .* 0\s+mended .* 0\s+changed .* 1\s+added .* 0\s+removed .* 278\s+unchanged", text)
    assert re.search(r"torch:eager:cpu\s+running variance\s+2\.13\.0: population\s+2\.13\.0: sample", text)


def test_dialects_group_and_fold(sample: ModuleType) -> None:
    """Choices on which implementations part come first, and equal options share a group."""
    table = tabulate(sample.IMPLEMENTATIONS)
    assert ["running_variance", "statistics_gradient", "update_gradient"] == [row.choice for row in table.rows][:3]
    assert (0, 1, 1, 0, 0) == table.rows[0].groups
    first = sample.IMPLEMENTATIONS[0]
    later = msgspec.structs.replace(first, id="torch@2.14.0:eager:cpu")
    assert ("2.13.0", "2.14.0") == tabulate((first, later)).columns[0].versions


def test_same_results_same_page(sample: ModuleType) -> None:
    """The page is the same, byte for byte, each time."""
    assert render_page(sample.sample_results()) == render_page(sample.sample_results())


def test_no_address_is_fetched(sample: ModuleType) -> None:
    """Nothing in the page names a file or a host to load."""
    page = render_page(sample.sample_results())
    assert [] == re.findall(r"""<(?:link|img|iframe|script src)|url\((?!data:)|@import|fetch\(""", page)
    assert "default-src 'none'" in page


def test_markup_escapes() -> None:
    """Text and attributes are escaped, markup is not escaped twice."""
    inner = element("b", "<i>")
    assert "&lt;i&gt;" in inner
    assert '<p title="&quot;&lt;&#x27;"><b>&lt;i&gt;</b>&amp;</p>' == element("p", inner, "&", title="\"<'")
    assert isinstance(inner, Markup)


def test_json_cannot_end_its_element() -> None:
    """No `<` is left in the data."""
    text = safe_json({"a": "</script><!--\u2028"})
    assert "<" not in text
    assert "\u2028" not in text
    assert {"a": "</script><!--\u2028"} == msgspec.json.decode(text)


def test_source_reads_like_yaml() -> None:
    """Short values stand on one line, long lists on several, odd text is quoted."""
    steps = [{"train": "a", "gradients": ["x", "gamma", "beta"], "observe": ["y", "running_mean", "running_var"]}] * 2
    expected = """\
shape: 4x3x7
shape_text: "4: 3"
momentum: 0.1
gamma: "null"
x: {kind: normal, offset: 2.0}
steps:
  - train: a
    gradients: [x, gamma, beta]"""
    source = {"shape": "4x3x7", "shape_text": "4: 3", "momentum": 0.1, "gamma": "null"}
    text = as_yaml(source | {"x": {"kind": "normal", "offset": 2.0}, "steps": steps})
    assert expected.replace("shape: 4x3x7", 'shape: "4x3x7"', 1) == "\n".join(text.splitlines()[:8])


def test_results_without_anything(sample: ModuleType, tmp_path: Path) -> None:
    """A run without a cell, a case or an implementation still gives a page."""
    results = sample.sample_results()
    empty = msgspec.structs.replace(results.run, cases=(), implementations=(), clauses={})
    write_report(msgspec.structs.replace(results, run=empty, cells=()), tmp_path / "index.html")
    assert "Of 0 cells" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_unwritable_page_is_reported(sample: ModuleType, tmp_path: Path) -> None:
    """A page that cannot be written gets one message, and leaves no part behind."""
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="cannot write the report"):
        write_report(sample.sample_results(), tmp_path / "file" / "index.html")


def test_columns_tell_what_they_were_made_of(sample: ModuleType) -> None:
    """The page of dialects names every version, what was set, and what a configuration calls a column."""
    results = sample.sample_results()
    (row, *rest) = results.run.implementations
    named = msgspec.structs.replace(row, title="As it was <then>", settings={"matmul precision": "highest"})
    run = msgspec.structs.replace(results.run, implementations=(named, *rest))
    page = render_page(msgspec.structs.replace(results, run=run))
    assert "As it was &lt;then&gt;" in page
    assert "matmul precision highest" in page
