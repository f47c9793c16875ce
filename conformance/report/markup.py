"""HTML as values: text is escaped unless it is markup already."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

__all__ = ["Child", "Markup", "element", "join", "outside"]


class Markup(str):
    """Text that is HTML; only this module and templates make it."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[str]"
_VOID = frozenset({"br", "col", "hr", "input"})


def element(name: str, /, *children: Child, **attributes: str | bool | float | None) -> Markup:
    """Return an element; text among the children and in the attributes is escaped.

    An attribute whose name ends in ``_`` loses that (``class_``), other underscores become
    hyphens (``aria_label``); ``None`` and ``False`` leave an attribute out.
    """
    opening = name + "".join(
        f" {_attribute_name(key)}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Return the children one after another, text escaped."""
    return Markup("".join(_as_markup(child) for child in children))


def outside(address: str, text: str) -> Markup:
    """Return a link out of the page; an address that is not of the web is shown as text."""
    if re.fullmatch(r"https?://[^\s\"'<>\\]+", address) is None:
        return element("code", address)
    return element("a", text, href=address, rel="noopener noreferrer", title=address)


def _as_markup(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    return escape(child) if isinstance(child, str) else join(child)


def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
