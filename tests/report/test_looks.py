"""Contrast, themes, narrow windows, sizes, print and what a screen reader is told."""

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


def test_focus_can_be_seen(open_page: Opener) -> None:
    """What has the focus is outlined."""
    page = open_page("#matrix")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


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


@pytest.mark.parametrize("width", [1640, 1280, 1024, 390])
def test_navigation_is_whole(open_page: Opener, width: int) -> None:
    """Every page's link is in the window, at any width: none is cut off."""
    page = open_page("#matrix", viewport={"width": width, "height": 844})
    links = page.locator("nav a")
    expect(links.last).to_have_text("How to read")
    boxes = [links.nth(k).bounding_box() for k in range(links.count())]
    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert page.evaluate("(({scrollWidth, clientWidth}) => scrollWidth <= clientWidth)(document.querySelector('nav'))")


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
