"""The panel of a cell: what it shows and copies, and the links that lead to it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.xdist_group("chromium")

Opener = Callable[..., Page]

CASE = "normalise/variance-far-from-one[dtype=float32,rank=4]"
KERAS = "keras-tensorflow@3.12.0:graph:cpu"
CELL = f"#matrix?case={quote(CASE)}&impl={quote(KERAS)}"


def test_finding_leads_to_its_cells(open_page: Opener) -> None:
    """The link of a finding shows its cases only."""
    page = open_page()
    page.get_by_role("link", name="Show 10 cells").click()
    expect(page.locator("#matrix")).to_be_visible()
    expect(page.locator("#shown")).to_have_text("6 of 57 cases")
    expect(page.locator("#finding")).to_contain_text("deviates running_var")


def test_cell_panel(open_page: Opener) -> None:
    """A click opens the cell: fact, quantities with numbers, clause, source; Esc closes it."""
    page = open_page("#matrix")
    page.locator("tr.case").nth(1).locator("td").nth(1).click()
    panel = page.locator("#panel")
    expect(panel).to_be_visible()
    expect(panel.locator("h2")).to_have_text(
        "The normalisation holds for variances far from 1 and for means away from 0"
    )
    for text in ("one-pass-variance", "Tight bound there", "Worst index", "4 × 3 × 2 × 7, float32", "momentum: 0.1"):
        expect(panel).to_contain_text(text)
    expect(panel.locator("details[open] tr.worst")).to_have_count(1)
    expect(panel.locator(".others li")).to_have_count(5)
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_permalink_and_back(open_page: Opener) -> None:
    """A link opens its cell; links within the panel move on; the back button returns."""
    page = open_page(CELL)
    panel = page.locator("#panel")
    expect(panel).to_contain_text(CASE)
    expect(panel.locator(".verdict-line")).to_contain_text("keras-tensorflow 3.12.0 graph")
    panel.get_by_role("link", name="torch 2.13.0").click()
    expect(panel.locator(".verdict-line")).to_contain_text("agrees torch 2.13.0")
    page.go_back()
    expect(panel.locator(".verdict-line")).to_contain_text("keras-tensorflow 3.12.0 graph")


def test_link_to_a_cell_that_is_gone(open_page: Opener) -> None:
    """A link to a cell of another report says that it is not here."""
    page = open_page("#matrix?case=no/such&impl=nobody@1:eager:cpu")
    expect(page.locator("#panel")).to_contain_text("This report has no such cell")


def test_copies(open_page: Opener) -> None:
    """The pytest id and the command are copied as a shell takes them."""
    page = open_page(CELL, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy pytest id").click()
    expected = "cases/normalise.yaml::variance-far-from-one[dtype=float32,rank=4]@keras-tensorflow"
    assert expected == page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Copy command").click()
    assert f"conformance run --adapter keras-tensorflow --case '{CASE}'" == page.evaluate(
        "navigator.clipboard.readText()"
    )
    page.get_by_role("button", name="Copy repro").click()
    assert f"conformance repro '{CASE}' keras-tensorflow:graph" == page.evaluate("navigator.clipboard.readText()")


def test_a_cell_that_agrees_has_nothing_to_repeat(open_page: Opener) -> None:
    """The command that writes a script is offered where something is to be shown upstream, and there only."""
    page = open_page(CELL)
    page.locator("#panel").get_by_role("link", name="torch 2.13.0").click()
    expect(page.locator("#panel .verdict-line")).to_contain_text("agrees")
    expect(page.get_by_role("button", name="Copy pytest id")).to_be_visible()
    expect(page.get_by_role("button", name="Copy repro")).to_have_count(0)
