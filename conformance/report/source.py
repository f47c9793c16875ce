"""The source of a case as YAML-like text, for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["as_yaml"]

_FLAT = 72


def as_yaml(source: Mapping[str, Any]) -> str:
    """Return the mapping as YAML, short mappings and lists on one line."""
    return "\n".join(_lines(source, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    items = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in items:
        head = "-" if key is None else f"{_scalar(key)}:"
        flat = _flow(item)
        if len(flat) + len(indent) + len(head) <= _FLAT or not _nested(item):
            yield f"{indent}{head} {flat}"
        elif key is None and isinstance(item, Mapping):
            first, *others = _lines(item, indent + "  ")
            yield from (f"{indent}- {first.strip()}", *others)
        else:
            yield f"{indent}{head}"
            yield from _lines(item, indent + "  ")


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str))


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if _nested(value):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Return a scalar; text that YAML would read as something else is quoted."""
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    plain = value and value not in ("true", "false", "null", "yes", "no") and value[0].isalpha()
    harmless = all(mark not in value for mark in ("\n", ": ", " #", "{", "}", "[", "]", ","))
    return value if plain and harmless and not value.endswith(":") else msgspec.json.encode(value).decode()
