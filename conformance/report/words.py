"""Small pieces of markup that several pages share: links, verdicts, provenance, tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from conformance.report.markup import Child, Markup, element
from conformance.report.wording import PROVENANCE, VERDICTS

__all__ = ["link", "moment", "plain_table", "provenance_badge", "verdict_chip"]

_GLYPHS: dict[str, str] = {words.name: words.glyph for words in VERDICTS}


def link(**state: str | int) -> str:
    """Return the fragment that opens the matrix in that state."""
    return "#matrix?" + urlencode(state)


def moment(started: str) -> str:
    """Return an ISO 8601 moment for reading; anything else as it is."""
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:[\d.]+)?(Z|\+00:00)$", r"\1 \2 UTC", started)


def verdict_chip(verdict: str) -> Markup:
    """Return sign and word of a verdict."""
    sign = element("span", _GLYPHS[verdict], class_="glyph", aria_hidden="true")
    return element("span", sign, " ", verdict, class_=f"verdict {verdict}")


def provenance_badge(provenance: str) -> Markup:
    """Return the word for where a column comes from."""
    return element("span", provenance, class_=f"provenance {provenance}", title=PROVENANCE[provenance])


def plain_table(name: str, titles: Sequence[str], rows: Iterable[Sequence[Child]], *, class_: str = "plain") -> Markup:
    """Return a table that scrolls sideways within itself; the first cell of each row is its header."""
    head = element("tr", (element("th", title, scope="col") for title in titles))
    body = (
        element("tr", element("th", row[0], scope="row"), (element("td", cell) for cell in row[1:])) for row in rows
    )
    table = element("table", element("thead", head), element("tbody", body), class_=class_)
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=name)
