"""The page: template, style, scripts and data put together in one HTML file that needs no network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from string import Template

from conformance.errors import ResultsError
from conformance.report.absent import not_tested
from conformance.report.agreement import agreement
from conformance.report.agreement_figure import agreement_matrix, agreement_words
from conformance.report.compare_page import compare_page
from conformance.report.conversion_page import conversion_page
from conformance.report.deviation_page import deviation_page
from conformance.report.dialect_page import dialect_page, dialect_section
from conformance.report.dialects import tabulate
from conformance.report.figures import ratio_distribution
from conformance.report.finding_list import finding_sections
from conformance.report.findings import find
from conformance.report.grid import Grid
from conformance.report.markup import Markup, element, join
from conformance.report.open_page import open_page
from conformance.report.overview import alarms, counts_table, facts, lead
from conformance.report.payload import chunks, index, safe_json
from conformance.report.quality_figure import quality_figures
from conformance.report.scenario_page import scenario_page
from conformance.report.static_matrix import static_matrix
from conformance.report.wording import PROVENANCE, VERDICTS
from conformance.report.words import verdict_chip
from conformance.results.read import Results

__all__ = ["REPORT_NAME", "render_page", "write_report"]

REPORT_NAME = "index.html"
#: Concatenated in this order inside one function, so that nothing becomes global.
SCRIPTS = ("data", "state", "element", "filter", "matrix", "keyboard", "picture", "panel", "print", "main")


def write_report(results: Results, path: Path, *, against: Results | None = None) -> None:
    """Write the report of the results to ``path``, whole or not at all; ``against`` is an earlier run.

    Raises:
        ResultsError: the folder cannot be written, or the disk is full.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_pieces(results, against))
        os.replace(part, path)  # noqa: PTH105 - atomic, also over an existing file
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise ResultsError(
            f"{path}: cannot write the report: {error.strerror or error}",
            hint="name a folder on a disk with room that you may write to, with --output FOLDER",
        ) from error


def render_page(results: Results, *, against: Results | None = None) -> str:
    """Return the whole page as HTML; one page in it compares with the run ``against``."""
    return "".join(_pieces(results, against))


def _pieces(results: Results, against: Results | None) -> Iterator[str]:
    """Yield the page in order, the details of the cells one chunk at a time: they are most of it."""
    grid = Grid(results)
    findings = find(grid)
    dialects = tabulate(results.run.implementations)
    alike = agreement(grid)
    script = "'use strict';(function () {\n" + "".join(_asset(f"script/{name}.js") for name in SCRIPTS) + "})();"
    style = _asset("style.css")
    head, tail = _asset("template.html").split("$chunks")
    yield Template(head).substitute(
        policy=_policy(script, style),
        style=style,
        lead=lead(grid),
        facts=facts(grid),
        alarms=alarms(grid),
        counts=counts_table(grid),
        dialects=dialect_section(dialects, grid),
        findings=finding_sections(findings, grid),
        dialect_page=dialect_page(dialects, grid),
        deviations=deviation_page(findings, grid),
        open=open_page(grid),
        scenarios=scenario_page(grid),
        conversions=conversion_page(grid, dialects),
        agreement=agreement_matrix(alike, grid),
        agreement_words=agreement_words(alike, grid),
        quality=quality_figures(grid),
        compare=compare_page(results, against),
        static_matrix=static_matrix(grid),
        distribution=ratio_distribution(grid),
        not_tested=not_tested(grid),
        legend=_legend(),
        index=safe_json(index(grid, findings)),
    )
    for position, (encoding, text) in enumerate(chunks(grid)):
        kind = "application/json"
        yield element("script", Markup(text), type=kind, id=f"details-{position}", data_encoding=encoding)
    yield Template(tail).substitute(script=script)


def _policy(script: str, style: str) -> str:
    """Return the content security policy: this script and this style, and nothing from anywhere."""
    return (
        f"default-src 'none'; script-src 'sha256-{_sha256(script)}'; style-src 'sha256-{_sha256(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _legend() -> Markup:
    verdicts = (
        element("div", element("dt", verdict_chip(words.name)), element("dd", words.meaning)) for words in VERDICTS
    )
    origins = (
        element("div", element("dt", element("span", word, class_=f"provenance {word}")), element("dd", meaning))
        for word, meaning in PROVENANCE.items()
    )
    return join((element("dl", verdicts, class_="legend"), element("h2", "Where a column comes from"),
                 element("dl", origins, class_="legend")))  # fmt: skip


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
