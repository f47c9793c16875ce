"""The report's accessibility, by axe-core, and the keyboard alone, in both themes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.xdist_group("chromium")

Opener = Callable[..., Page]
PAGES = (
    "overview", "matrix", "dialects", "deviations", "open", "scenarios", "conversions", "bounds", "compare", "absent",
    "reading",
)  # fmt: skip
CELL = f"#matrix?case={quote('running_stats/variance-blends[dtype=float32,rank=4]')}&impl=flax-linen@0.12.2:jit:cpu"
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def violations(page: Page) -> list[str]:
    """Return what axe-core finds on the page as it stands: the rule, and the elements that break it."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("(rules) => axe.run(document, { runOnly: rules })", RULES)
    broken = [(one["id"], node) for one in found["violations"] for node in one["nodes"]]
    return [f"{rule}: {node['html'][:120]} {node['failureSummary']}" for rule, node in broken]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe(open_page: Opener, name: str, scheme: str) -> None:
    """axe-core finds nothing on any page, in either theme."""
    page = open_page(f"#{name}", color_scheme=scheme)
    assert [] == violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_with_all_open(open_page: Opener, scheme: str) -> None:
    """axe-core finds nothing with a cell, the filters, a selection and every fold open."""
    page = open_page(f"{CELL}&rows=3&columns=1", color_scheme=scheme)
    expect(page.locator("#panel")).to_be_visible()
    page.get_by_role("button", name="Filters").click()
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    expect(page.locator(".beside table").first).to_be_visible()
    assert [] == violations(page)


@pytest.mark.parametrize("fragment", ["", CELL], ids=["overview", "cell"])
def test_axe_narrow(open_page: Opener, fragment: str) -> None:
    """axe-core finds nothing on a narrow screen."""
    page = open_page(fragment, viewport={"width": 390, "height": 844})
    assert [] == violations(page)


def test_axe_with_many_columns(open_page: Opener, sample: ModuleType) -> None:
    """axe-core finds nothing where columns are folded."""
    page = open_page("#matrix", results=sample.many_results())
    expect(page.locator(".head-fold")).to_have_count(2)
    assert [] == violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_the_first_screen_to_a_cell_by_keyboard(open_page: Opener, scheme: str) -> None:
    """Tab reaches the link of a page, the matrix, a cell and its panel; Esc leads back."""
    page = open_page(color_scheme=scheme)
    for _ in range(4):
        page.keyboard.press("Tab")
    expect(page.locator("nav a:focus")).to_have_text("Matrix")
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("variance-far")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    expect(page.locator("td:focus")).to_have_attribute("data-place", "1")
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("td:focus")).to_have_attribute("data-place", "1")


def test_selecting_by_keyboard(open_page: Opener) -> None:
    """S selects the row, c the column; the selection can be shown alone, and is in the address."""
    page = open_page("#matrix")
    page.locator("td[tabindex='0']").focus()
    page.keyboard.press("s")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("s")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    expect(page.locator("#selection")).to_contain_text("2 rows and 1 column selected")
    page.get_by_role("button", name="Show only these").click()
    expect(page.locator("tr.case")).to_have_count(2)
    expect(page.locator("th.head")).to_have_count(1)
    assert "pick=1" in page.url
    page.locator("#selection").get_by_role("button", name="Clear").click()
    expect(page.locator("#selection")).to_be_hidden()
    expect(page.locator("#shown")).to_have_text("57 of 57 cases")


def test_selecting_by_click(open_page: Opener) -> None:
    """The name of a case and the head of a column are buttons that select."""
    page = open_page("#matrix", permissions=["clipboard-read", "clipboard-write"])
    page.locator(".row-name").first.click()
    expect(page.locator("th.case.marked")).to_have_count(1)
    page.locator(".head-name").nth(2).click()
    expect(page.locator("th.head.marked")).to_have_count(1)
    page.get_by_role("button", name="Copy as --case options").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("--case 'normalise/")
    page.locator(".row-name").first.click()
    expect(page.locator("th.case.marked")).to_have_count(0)


def test_columns_of_one_implementation_fold(open_page: Opener, sample: ModuleType) -> None:
    """Of many columns those of one implementation stand under one head, until it is unfolded by f or by a click."""
    page = open_page("#matrix", results=sample.many_results())
    expect(page.locator("th.head")).to_have_count(5)
    expect(page.locator("th.head").first).to_contain_text("7 columns")
    page.get_by_role("button", name="Unfold the 7 columns of torch").click()
    expect(page.locator("th.head")).to_have_count(11)
    assert "heads=torch" in page.url
    page.locator("td[tabindex='0']").focus()
    page.keyboard.press("f")
    expect(page.locator("th.head")).to_have_count(5)


def test_a_folded_cell_opens_the_gravest(open_page: Opener, sample: ModuleType) -> None:
    """A folded cell shows the gravest verdict and of how many columns it is; it opens that column."""
    page = open_page("#matrix?q=strided-input[dtype=float64", results=sample.many_results())
    page.locator("tr.case td.crashed").click()
    expect(page.locator("#panel .verdict-line")).to_contain_text("crashed flax-linen 0.12.2 jit")
    expect(page.locator("#panel .history li")).to_have_count(2)


@pytest.mark.parametrize(
    ("fragment", "rows", "heads"),
    [
        ("mode=train", "57 of 57 cases", 5), ("execution=jit", "57 of 57 cases", 1),
        ("execution=eager", "57 of 57 cases", 3), ("rows=0~1&pick=1", "2 of 57 cases", 5),
        ("columns=0~2&pick=1", "57 of 57 cases", 2),
    ],
    ids=["mode", "jit", "eager", "rows", "columns"],
)  # fmt: skip
def test_more_filters_from_the_fragment(open_page: Opener, fragment: str, rows: str, heads: int) -> None:
    """Mode, execution and selection can be given in the fragment."""
    page = open_page(f"#matrix?{fragment}")
    expect(page.locator("#shown")).to_have_text(rows)
    expect(page.locator("th.head")).to_have_count(heads)


def test_panel_of_a_record(open_page: Opener) -> None:
    """The panel of a recorded deviation has its reason, its variant in a sentence, and the link upstream."""
    mean = "#matrix?case=running_stats/mean-blends[dtype=float32,rank=4]&impl=flax-linen@0.12.2:jit:cpu"
    page = open_page(mean)
    record = page.locator("#panel .record")
    expect(record).to_contain_text("Recorded: flax one-pass running variance")
    expect(record).to_contain_text("The variance is computed as avg(x^2) - mean^2.")
    link = record.get_by_role("link", name="Reported upstream")
    expect(link).to_have_attribute("href", "https://example.org/flax/issues/1")
    expect(link).to_have_attribute("rel", "noopener noreferrer")


def test_pictures_and_neighbours_of_a_quantity(open_page: Opener) -> None:
    """A quantity has a picture of its error against both predictions, and the others' values beside it."""
    page = open_page(CELL)
    shown = page.locator("details.quantity[open]").first
    expect(shown.locator("svg.errors")).to_have_count(1)
    assert shown.locator("svg.errors path.declared").count() == shown.locator("svg.errors rect").count() > 0
    shown.locator(".beside > summary").click()
    expect(shown.locator(".beside th[scope=col]")).to_have_count(7)
    expect(page.locator("#panel .alike > li").first).to_contain_text("population running variance")


def test_inputs_are_shown(open_page: Opener) -> None:
    """The panel shows the beginning of each input."""
    inputs = open_page(CELL).locator("#panel .inputs tbody")
    expect(inputs).to_have_text("x a16 × 5float321.5, -0.25, nan, …")


def test_addresses_of_headings(open_page: Opener) -> None:
    """An address that names a finding opens its page."""
    page = open_page()
    identifier = page.locator("#overview .findings > li").last.get_attribute("id")
    page.goto(page.url.split("#")[0] + f"#{identifier}")
    expect(page.locator("#overview")).to_be_visible()
    expect(page.locator(f"[id='{identifier}']")).to_be_in_viewport()
