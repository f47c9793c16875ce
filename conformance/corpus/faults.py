"""A fault that msgspec found, told with the place in the file, what was found and what was expected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from conformance.corpus.case import Case
from conformance.corpus.marks import Mark, Node, fault

__all__ = ["raise_from"]

_PLACE = re.compile(r"(?P<message>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_PART = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+|\.\.\.)\]")
_HINTS = {
    r"^[0-9]+(x[0-9]+){1,4}$": "a shape of rank 2 to 5, as 4x3x7",
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "lower-case words joined by hyphens",
    r"^[a-z][a-z0-9_]*$": "a lower-case label",
    r"^[0-9]+\.[0-9]+$": 'a clause number in quotes, as "3.1"',
}


@dataclass(frozen=True)
class _Spot:
    """Where a path of msgspec leads: a node, the place to point at and the type expected there."""

    node: Node
    mark: Mark
    type: Any


def raise_from(error: msgspec.ValidationError, case: Node, record: type = Case) -> NoReturn:
    """Raise the ``CaseError`` for what msgspec says of the tree ``case``, which was to become a ``record``."""
    match = _PLACE.fullmatch(str(error))
    assert match is not None  # the pattern matches any text
    message, path = match["message"], match["path"] or "$"
    spot = _walk(path.removeprefix("key in "), case, record)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", message):
        known = ", ".join(name for name in _field_names(spot.type) if name != "id")
        mark = spot.node.keys.get(unknown[1], spot.mark)
        fault(mark, f"found the unknown key `{unknown[1]}`, expected one of {known}")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", message):
        fault(spot.mark, f"found no `{missing[1]}`, expected one")
    if expected := re.fullmatch(r"Expected (.*?)(?:, got .*)?", message):
        fault(spot.mark, f"found {spot.node.kind}, expected {_expected(expected[1])}")
    if re.match("Invalid enum value", message):
        fault(spot.mark, f"found {spot.node.kind}, expected one of {', '.join(_literals(spot.type))}")
    # What is left was raised by a record of ours, in words of its own.
    fault(spot.mark, message)


def _expected(text: str) -> str:
    if match := re.fullmatch(r"`str` matching regex '(.*)'", text):
        pattern = match[1].replace("\\\\", "\\")  # it comes as its repr
        return _HINTS.get(pattern, f"a text that matches {pattern}")
    words = {
        "object": "a mapping",
        "array": "a list",
        "int": "an integer",
        "float": "a number",
        "str": "a text",
    }
    return re.sub(r"`([a-z| ]+)`", lambda m: re.sub(r"[a-z]+", lambda w: words.get(w[0], w[0]), m[1]), text)


def _walk(path: str, case: Node, record: type) -> _Spot:
    """Follow ``$.steps[0].train``; stop early where msgspec does not say which key it means."""
    spot = _Spot(case, case.mark, msgspec.inspect.type_info(record))
    for name, index in _PART.findall(path):
        content = spot.node.content
        if name and isinstance(content, dict) and name in content:
            spot = _Spot(content[name], content[name].mark, _field_type(spot.type, name))
        elif index.isdigit() and isinstance(content, list) and int(index) < len(content):
            item = content[int(index)]
            spot = _Spot(item, item.mark, _item_type(spot.type, int(index)))
        elif index == "..." and isinstance(content, dict) and len(content) == 1:
            (item,) = content.values()
            spot = _Spot(item, item.mark, getattr(_bare(spot.type), "value_type", None))
        elif index == "..." and isinstance(content, list) and len(content) == 1:
            spot = _Spot(content[0], content[0].mark, _item_type(spot.type, 0))
        else:
            break
    return spot


def _bare(type_info: Any) -> Any:
    """Strip metadata, and ``| None`` where one real type is left."""
    while isinstance(type_info, msgspec.inspect.Metadata):
        type_info = type_info.type
    if isinstance(type_info, msgspec.inspect.UnionType):
        members = [member for member in type_info.types if not isinstance(member, msgspec.inspect.NoneType)]
        return _bare(members[0]) if len(members) == 1 else type_info
    return type_info


def _field_type(type_info: Any, name: str) -> Any:
    bare = _bare(type_info)
    for item in getattr(bare, "fields", ()):
        if item.name == name:
            return item.type
    return None


def _item_type(type_info: Any, index: int) -> Any:
    bare = _bare(type_info)
    if hasattr(bare, "item_type"):
        return bare.item_type
    items = getattr(bare, "item_types", ())
    return items[index] if index < len(items) else None


def _field_names(type_info: Any) -> list[str]:
    return [item.name for item in getattr(_bare(type_info), "fields", ())]


def _literals(type_info: Any) -> list[str]:
    bare = _bare(type_info)
    if isinstance(bare, msgspec.inspect.LiteralType):
        return [str(value) for value in bare.values]
    if isinstance(bare, msgspec.inspect.UnionType):
        return [text for member in bare.types for text in (_literals(member) or ["a number"])]
    return []
