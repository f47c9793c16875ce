"""YAML text to a tree whose every node knows its line and column."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml

from conformance.errors import CaseError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Mark", "Node", "Scalar", "fault", "parse", "plain"]

Scalar: TypeAlias = str | int | float | bool | None

MAX_BYTES = 1 << 20
MAX_DEPTH = 12

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The core schema of YAML 1.2: `1e-3` is a number, `on`, `off`, `yes` and `no` are strings.
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a case file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, list or mapping with its place; ``text`` is a scalar as it was written."""

    mark: Mark
    content: Scalar | list[Node] | dict[str, Node]
    text: str = ""
    keys: dict[str, Mark] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return what the node is, in words."""
        if isinstance(self.content, dict):
            return "a mapping"
        if isinstance(self.content, list):
            return "a list"
        return "nothing" if self.content is None else repr(self.text)

    @property
    def mapping(self) -> dict[str, Node]:
        """Return the entries of a mapping.

        Raises:
            CaseError: the node is something else.
        """
        if not isinstance(self.content, dict):
            fault(self.mark, f"found {self.kind}, expected a mapping")
        return self.content

    @property
    def sequence(self) -> list[Node]:
        """Return the entries of a list.

        Raises:
            CaseError: the node is something else.
        """
        if not isinstance(self.content, list):
            fault(self.mark, f"found {self.kind}, expected a list")
        return self.content


def fault(mark: Mark, message: str, *, hint: str = "") -> NoReturn:
    """Raise the ``CaseError`` that points at ``mark``."""
    raise CaseError(f"{mark}: {message}", hint=hint)


def parse(text: str, file: str) -> Node:
    """Return the tree of a YAML document.

    Raises:
        CaseError: the text is no YAML, too large or too deep, or uses what a case file may not:
            anchors, aliases, tags, duplicate keys, several documents.
    """
    start = Mark(file, 1, 1)
    size = len(text.encode())
    if size > MAX_BYTES:
        fault(start, f"found {size} bytes, expected at most {MAX_BYTES}", hint="split the file")
    try:
        node = _Builder(file).document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = start if place is None else Mark(file, place.line + 1, place.column + 1)
        fault(mark, f"no YAML: {error.problem or error.context}")
    except yaml.YAMLError as error:
        fault(start, f"no YAML: {str(error).splitlines()[0]}")
    if node is None:
        fault(start, "found an empty file, expected a mapping with `title` and `cases`")
    return node


def plain(node: Node) -> Any:
    """Return the tree as plain dicts, lists and scalars."""
    if isinstance(node.content, dict):
        return {key: plain(child) for key, child in node.content.items()}
    if isinstance(node.content, list):
        return [plain(child) for child in node.content]
    return node.content


class _Builder:
    """Builds the tree from the parser's events, so that nothing is expanded before it is refused."""

    def __init__(self, file: str) -> None:
        self.file = file

    def document(self, events: Iterator[Any]) -> Node | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    fault(self.mark(event), "found a second document, expected one")
                root = self.node(next(events), events, 0)
        return root

    def mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        mark = self.mark(event)
        self.refuse(event, mark, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self.entries(mark, events, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(self.node(event, events, depth + 1))
            return Node(mark, items)
        value = _resolve(event.value, mark) if event.implicit[0] else event.value
        return Node(mark, value, event.value)

    def refuse(self, event: Any, mark: Mark, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            fault(mark, f"found the alias *{event.anchor}, expected the value itself", hint="use `vary`")
        if event.anchor is not None:
            fault(mark, f"found the anchor &{event.anchor}, expected none", hint="use `vary`")
        if event.tag is not None:
            fault(mark, f"found the tag {event.tag}, expected none")
        if depth > MAX_DEPTH:
            fault(mark, f"found more than {MAX_DEPTH} levels, expected fewer")

    def entries(self, mark: Mark, events: Iterator[Any], depth: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            place = self.mark(event)
            self.refuse(event, place, depth)
            if not isinstance(event, yaml.ScalarEvent):
                fault(place, "found a list or mapping as a key, expected a word")
            key = str(event.value)
            if key in entries:
                fault(
                    place, f"found the key `{key}` again, expected it once (first in line {keys[key].line})"
                )
            keys[key] = place
            entries[key] = self.node(next(events), events, depth + 1)
        return Node(mark, entries, keys=keys)


def _resolve(text: str, mark: Mark) -> Scalar:
    """Read an unquoted scalar by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > _LONGEST_INTEGER:
            fault(mark, f"found {text[:12]}... of {len(text)} digits, expected a smaller number")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            fault(mark, f"found {text}, which overflows, expected a float64")
        return value
    if match := _INFINITY.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    return text


_LONGEST_INTEGER = 18
