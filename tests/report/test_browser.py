"""The report in a browser: pages, filters, keyboard, and what a large or partial run looks like."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.xdist_group("chromium")

Opener = Callable[..., Page]


def rows(page: Page) -> int:
    return page.locator("tr.case").count()


def test_overview_opens_first(open_page: Opener) -> None:
    """The first screen tells what was run and what came of it."""
    page = open_page()
    expect(page.locator("#overview")).to_be_visible()
    expect(page.locator("#matrix")).to_be_hidden()
    expect(page.locator(".lead")).to_contain_text("Of 228 cells")
    expect(page.locator(".facts")).to_contain_text("57 on 5 implementations, 1 of them modelled: 285 of 285 cells")
    expect(page.locator(".alarm")).to_have_count(0)


def test_matrix_shows_disagreements(open_page: Opener) -> None:
    """The matrix opens with agreeing rows folded, and unfolds them on demand."""
    page = open_page("#matrix")
    before = rows(page)
    page.get_by_role("button", name="6 cases on which all agree").first.click()
    expect(page.locator("tr.case")).to_have_count(before + 6)
    page.go_back()
    expect(page.locator("tr.case")).to_have_count(before)


def test_verdict_filter(open_page: Opener) -> None:
    """A verdict chip leaves the rows that have a cell of that verdict."""
    page = open_page("#matrix")
    page.get_by_role("button", name="differs 6").click()
    expect(page.locator("#shown")).to_have_text("6 of 57 cases")
    expect(page.locator("tr.case")).to_have_count(6)
    assert "v=differs" in page.url


@pytest.mark.parametrize(
    ("fragment", "shown"),
    [
        ("clause=7.3", "3 of 57 cases"),
        ("dtype=float64", "19 of 57 cases"),
        ("q=gamma-zero", "3 of 57 cases"),
        ("q=running_stats/*", "9 of 57 cases"),
        ("q=*/gamma-zero[dtype=float32,*]", "2 of 57 cases"),
        ("i=2&v=crashed", "1 of 57 cases"),
        ("v=crashed~void", "2 of 57 cases"),
        ("i=0&only=1", "4 of 57 cases"),
        ("q=nothing-of-the-kind", "0 of 57 cases"),
    ],
    ids=["clause", "dtype", "text", "pattern", "parameters", "implementation", "verdicts", "only", "none"],
)
def test_filters_from_the_fragment(open_page: Opener, fragment: str, shown: str) -> None:
    """Every filter can be given in the fragment."""
    page = open_page(f"#matrix?{fragment}")
    expect(page.locator("#shown")).to_have_text(shown)


def test_filters_in_the_form(open_page: Opener) -> None:
    """The fields of the form filter too, and say so in the fragment."""
    page = open_page("#matrix")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Clause").select_option("5.4")
    expect(page.locator("#shown")).to_have_text("3 of 57 cases")
    page.get_by_label("Data type").select_option("float64")
    expect(page.locator("#shown")).to_have_text("1 of 57 cases")
    page.locator("#implementations").get_by_role("button", name="torch 2.13.0").click()
    expect(page.locator("th.head")).to_have_count(1)
    assert re.search(r"clause=5\.4&dtype=float64$|i=0&clause=5\.4&dtype=float64$", page.url)
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#shown")).to_have_text("57 of 57 cases")


def test_keyboard(open_page: Opener) -> None:
    """Arrows move, Enter opens, Esc closes and gives the focus back, n jumps, / filters, ? helps."""
    page = open_page("#matrix")
    page.locator("td[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    active = page.locator("td:focus")
    expect(active).to_have_attribute("aria-label", "keras-tensorflow 3.12.0 graph: differs, 76 times the bound")
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    expect(active).to_have_attribute("aria-label", "keras-tensorflow 3.12.0 graph: differs, 76 times the bound")
    page.keyboard.press("n")
    expect(active).to_have_attribute("aria-label", re.compile("differs"))
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("gamma-zero")
    expect(page.locator("#shown")).to_have_text("3 of 57 cases")
    page.keyboard.press("Escape")
    expect(page.locator("#text")).not_to_be_focused()


def test_modelled_columns_say_so(open_page: Opener) -> None:
    """A modelled column is marked in its head, in the counts and in the panel of its cells."""
    page = open_page("#matrix")
    expect(page.locator("th.head.modelled")).to_contain_text("modelled")
    page.locator("tr.case").first.locator("td").last.click()
    expect(page.locator("#panel")).to_contain_text("not executed")
    page.goto(page.url.split("#")[0] + "#overview")
    expect(page.locator("tr.modelled")).to_contain_text("modelled")


def test_partial_and_filtered(open_page: Opener, sample: ModuleType) -> None:
    """A run that did not finish, or asked for a part only, says so in a red bar."""
    page = open_page(results=sample.sample_results(complete=False, selection="running_stats/*"))
    expect(page.locator(".alarm")).to_have_count(2)
    expect(page.locator(".alarm").first).to_contain_text(
        "Partial. The run did not finish: 143 of 285 cells are missing."
    )
    expect(page.locator(".alarm").last).to_contain_text("running_stats/*")


def test_large_matrix_draws_what_is_in_view(open_page: Opener, sample: ModuleType) -> None:
    """Of a large matrix only rows near the view are drawn; scrolling and links reach all; details are unpacked."""
    page = open_page("#matrix", results=sample.large_results())
    expect(page.locator("tr.case").first).to_contain_text("case-0")
    assert 0 < rows(page) < 80
    page.evaluate("document.getElementById('pane').scrollTo(0, 1e6)")
    expect(page.locator("tr.case").last).to_contain_text("case-399")
    assert page.evaluate("document.querySelector('.matrix').offsetHeight") > 400 * 40
    page.locator("tr.case").last.locator("td").first.click()
    expect(page.locator("#panel h2")).to_have_text("Fact 399")
    expect(page.locator("#panel")).to_contain_text("xxxx")
    page.keyboard.press("ArrowUp")
    expect(page.locator("td:focus")).to_have_count(1)
    page.goto(page.url.split("#")[0] + "#matrix?case=area_5/case-200&impl=framework-3@1.0:eager:cpu")
    expect(page.locator("td.chosen")).to_be_in_viewport()
