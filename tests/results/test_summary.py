"""The summary: counts with denominators, in each format."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from conformance.results.read import Results
from conformance.results.summary import render, summarise
from conformance.results.tables import markdown_table

Maker = Callable[..., Results]
TORCH, FLAX = "torch@2.1:eager:cpu", "flax@0.9:jit:cpu"
SOME = {("a/one", TORCH): "agrees", ("a/two", TORCH): "differs", ("a/one", FLAX): "deviates"}


def test_counts(results: Maker) -> None:
    """Each implementation has its counts, its cells, and the cases they are out of."""
    rows = summarise(results(SOME)).rows
    assert [(TORCH, 1, 1, 2, 2), (FLAX, 0, 0, 1, 2)] == [
        (row.implementation, row.verdicts["agrees"], row.verdicts["differs"], row.cells, row.cases) for row in rows
    ]


def test_pretty(results: Maker) -> None:
    """The table is aligned and names the verdicts that occur."""
    expected = """\
implementation       agrees  deviates  differs  cells  of cases
-------------------  ------  --------  -------  -----  --------
torch@2.1:eager:cpu       1         0        1      2         2
flax@0.9:jit:cpu          0         1        0      1         2
"""
    assert expected == render(results(SOME))


def test_partial_is_said_first(results: Maker) -> None:
    """A partial or filtered run says so before any number."""
    text = render(results(SOME, complete=False, selection="a/*"), "markdown")
    assert text.startswith("PARTIAL: ")
    assert "A part of the corpus only: a/*" in text


def test_json(results: Maker) -> None:
    """The JSON form holds the same numbers."""
    decoded = msgspec.json.decode(render(results(SOME), "json"))
    assert 1 == decoded["rows"][0]["verdicts"]["differs"]


def test_markdown_holds_hostile_text() -> None:
    """Text cannot end a cell of a Markdown table or start markup."""
    table = markdown_table(["case"], [["a|b\n<b>`x`[y](z)"]])
    assert r"| a\|b &lt;b&gt;\`x\`\[y\](z) |" == table.splitlines()[-1]
