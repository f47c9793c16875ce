"""The page without a browser: findings, dialects, numbers in words, what leaves Python escaped."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from conformance.errors import ResultsError
from conformance.report.dialects import tabulate
from conformance.report.findings import find
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element
from conformance.report.overview import moment
from conformance.report.page import render_page, write_report
from conformance.report.payload import safe_json
from conformance.report.source import as_yaml
from conformance.report.wording import duration, ratio

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
    found = [(one.verdict, one.cause[:24], len(one.parties)) for one in find(Grid(sample.sample_results()))]
    assert ["void", "crashed", "differs", "differs", "differs", "differs", "changed", "deviates", "deviates"] == [
        verdict for verdict, _, _ in found
    ]
    assert ("differs", "raises ValueError", 1) in found
    assert ("deviates", "", 2) == found[-1]


def test_findings_count_cells_once(sample: ModuleType) -> None:
    """A finding counts each of its cells once, out of all cells of the implementation."""
    deviating = find(Grid(sample.sample_results()))[-1]
    assert [(6, 57), (4, 57)] == [(len(party.cases), party.out_of) for party in deviating.parties]


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
