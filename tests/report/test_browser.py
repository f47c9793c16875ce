"""The report in a browser: pages, filters, the cell panel, keyboard, history, safety, reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.xdist_group("chromium")

Opener = Callable[..., Page]
CASE = "normalise/variance-far-from-one[dtype=float32,rank=4]"
KERAS = "keras-tensorflow@3.12.0:graph:cpu"
CELL = f"#matrix?case={quote(CASE)}&impl={quote(KERAS)}"


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


def test_focus_can_be_seen(open_page: Opener) -> None:
    """What has the focus is outlined."""
    page = open_page("#matrix")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_hostile_text_stays_text(open_page: Opener, sample: ModuleType) -> None:
    """Markup in any text of a results file is shown, and never runs."""
    page = open_page(results=sample.hostile_results())
    for fragment in ("#overview", "#matrix", "#bounds", "#absent", "#reading"):
        page.goto(page.url.split("#")[0] + fragment)
        assert page.evaluate("window.pwned") is None
    page.goto(page.url.split("#")[0] + "#matrix")
    page.locator("td.cell").first.click()
    expect(page.locator("#panel h2")).to_have_text(sample.HOSTILE)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0


def test_policy_stops_foreign_scripts(browser: Browser, report: Path, tmp_path: Path) -> None:
    """A script that found its way into the file does not run: the policy names the page's own by digest."""
    tampered = tmp_path / "tampered.html"
    text = report.read_text(encoding="utf-8").replace("</body>", "<script>window.pwned = 1</script></body>")
    tampered.write_text(text, encoding="utf-8")
    page = browser.new_page()
    page.goto(tampered.as_uri())
    expect(page.locator("html")).to_have_class("live")
    assert page.evaluate("window.pwned") is None
    page.context.close()


def test_scripts_off(open_page: Opener) -> None:
    """Without scripts the page shows everything in turn, the matrix as a table of words."""
    page = open_page(java_script_enabled=False)
    for section in ("#overview", "#matrix", "#bounds", "#absent", "#reading"):
        expect(page.locator(section)).to_be_visible()
    expect(page.locator("table.words tbody tr")).to_have_count(57)
    expect(page.locator("table.words")).to_contain_text("✗ differs")
    crashed = page.locator("noscript li").filter(has_text="crashed: layout/strided-input[dtype=float64,rank=4]")
    expect(crashed).to_contain_text("on flax-linen 0.12.2 jit")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(open_page: Opener, scheme: str) -> None:
    """Text stands out from what is behind it by 4.5 to 1 in both themes."""
    for fragment in ("#overview", CELL, "#absent", "#reading"):
        page = open_page(fragment, color_scheme=scheme)
        if fragment == CELL:
            expect(page.locator("#panel")).to_be_visible()
        assert page.evaluate(CONTRAST) == []


def test_theme_button(open_page: Opener) -> None:
    """The button turns light into dark."""
    page = open_page(color_scheme="light")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert before != page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("fragment", ["", "#matrix", CELL, "#bounds", "#absent", "#reading"])
def test_narrow(open_page: Opener, fragment: str) -> None:
    """On 390 pixels nothing sticks out sideways, and the panel fills the screen."""
    page = open_page(fragment, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if fragment == CELL:
        expect(page.locator("#panel")).to_be_visible()
        assert page.locator("#panel").bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}


def test_text_is_15_pixels_and_up(open_page: Opener) -> None:
    """No text is smaller than 15 pixels."""
    for fragment in ("#overview", CELL, "#absent"):
        page = open_page(fragment)
        small = page.evaluate(
            """() => [...document.querySelectorAll('body *')].filter((node) => node.offsetParent
            && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())
            && parseFloat(getComputedStyle(node).fontSize) < 15).map((node) => node.outerHTML.slice(0, 80))"""
        )
        assert small == []


def test_modelled_columns_say_so(open_page: Opener) -> None:
    """A modelled column is marked in its head, in the counts and in the panel of its cells."""
    page = open_page("#matrix")
    expect(page.locator("th.head.modelled")).to_contain_text("modelled")
    page.locator("tr.case").first.locator("td").last.click()
    expect(page.locator("#panel")).to_contain_text("not executed")
    page.goto(page.url.split("#")[0] + "#overview")
    expect(page.locator("tr.modelled")).to_contain_text("modelled")


def test_prints_as_a_table(open_page: Opener) -> None:
    """On paper the matrix is a table of words, without controls."""
    page = open_page("#matrix?v=differs")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    expect(page.locator("#printed tbody tr")).to_have_count(6)
    expect(page.locator("#printed")).to_contain_text("✗ differs")
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#overview")).to_be_visible()


def test_names_for_screen_readers(open_page: Opener) -> None:
    """Every control has a name, the matrix is a grid that tells its size, headings start at one."""
    page = open_page(CELL)
    expect(page.locator("#panel")).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, a, input, select, [role=region]')]
        .filter((node) => node.offsetParent && !node.textContent.trim()
        && !node.getAttribute('aria-label') && !(node.labels || []).length)
        .map((node) => node.outerHTML.slice(0, 90))"""
    )
    assert nameless == []
    expect(page.get_by_role("grid", name="Cases by implementation")).to_have_attribute("aria-colcount", "6")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)


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


#: Every visible piece of text whose contrast to the nearest opaque background is below 4.5 to 1.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const s = c[i] / 255; return sum + weight * (s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4);
  }, 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll('body *')) {
    const texts = [...node.childNodes].filter((child) => child.nodeType === 3 && child.data.trim());
    if (!node.offsetParent || !texts.length) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.className} ${node.textContent.slice(0, 40)}`);
  }
  return [...new Set(poor)];
}"""
