"""Text from outside stays text, foreign scripts do not run, and without scripts there is a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.xdist_group("chromium")

Opener = Callable[..., Page]


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
