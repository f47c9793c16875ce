"""``vary``: one definition in a case file becomes a case for each combination."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product

from conformance.corpus.marks import Node, fault

__all__ = ["MAX_COMBINATIONS", "PARAMETER", "VALUE", "Option", "expand", "merged"]

MAX_COMBINATIONS = 1000

# What is safe, unquoted, in a pytest node id, a URL fragment and a case pattern.
PARAMETER = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
VALUE = re.compile(r"[A-Za-z0-9+-][A-Za-z0-9._+-]*")
_FIXED = ("id", "name", "vary")


@dataclass(frozen=True)
class Option:
    """One value of one parameter: its text in the id and what it changes in the case."""

    text: str
    change: Node


def expand(definition: Node) -> list[tuple[str, Node]]:
    """Return the suffix ``[param=value,...]`` and the tree of each combination, in order.

    ``name`` and ``vary`` are gone from the trees.

    Raises:
        CaseError: ``vary`` is malformed.
    """
    entries = dict(definition.mapping)
    entries.pop("name", None)
    vary = entries.pop("vary", None)
    base = replace(definition, content=entries)
    if vary is None:
        return [("", base)]
    if not vary.mapping:
        fault(vary.mark, "found no parameter under `vary`, expected at least one")
    parameters = [(name, _options(name, node, vary)) for name, node in vary.mapping.items()]
    count = 1
    for _, choices in parameters:
        count *= len(choices)
    if count > MAX_COMBINATIONS:
        fault(vary.mark, f"found {count} combinations, expected at most {MAX_COMBINATIONS}")
    return [
        _combine(base, [name for name, _ in parameters], row) for row in product(*(c for _, c in parameters))
    ]


def merged(base: Node, change: Node) -> Node:
    """Return ``base`` with ``change`` laid over it: mappings merge, all else is replaced."""
    if not isinstance(base.content, dict) or not isinstance(change.content, dict):
        return change
    entries = dict(base.content)
    for key, node in change.content.items():
        entries[key] = merged(entries[key], node) if key in entries else node
    return Node(base.mark, entries, keys={**base.keys, **change.keys})


def _combine(base: Node, names: list[str], options: tuple[Option, ...]) -> tuple[str, Node]:
    for option in options:
        base = merged(base, option.change)
    suffix = ",".join(f"{name}={option.text}" for name, option in zip(names, options, strict=True))
    return f"[{suffix}]", base


def _options(name: str, node: Node, vary: Node) -> list[Option]:
    if not PARAMETER.fullmatch(name):
        fault(vary.keys[name], f"found the parameter {name!r}, expected lower-case words, dots between them")
    if isinstance(node.content, list):
        options = [_field_option(name, item, vary) for item in node.content]
    elif isinstance(node.content, dict):
        options = [_label_option(label, item, node) for label, item in node.content.items()]
    else:
        fault(node.mark, f"found {node.kind}, expected a list of values or a mapping from labels to changes")
    if not options:
        fault(node.mark, f"found no value for `{name}`, expected at least one")
    return options


def _field_option(name: str, item: Node, vary: Node) -> Option:
    if isinstance(item.content, list | dict):
        fault(item.mark, f"found {item.kind}, expected a plain value", hint="give a mapping: label to change")
    if name in _FIXED:
        fault(vary.keys[name], f"found `{name}`, which cannot be varied, expected a field of the case")
    _require_safe(item.text, item)
    change = item
    for part in reversed(name.split(".")):
        change = Node(item.mark, {part: change}, keys={part: vary.keys[name]})
    return Option(item.text, change)


def _label_option(label: str, item: Node, labels: Node) -> Option:
    if not VALUE.fullmatch(label):
        fault(labels.keys[label], f"found the label {label!r}, expected letters, digits, . _ + -")
    for key in item.mapping:
        if key in _FIXED:
            fault(item.keys[key], f"found `{key}`, which cannot be varied, expected a field of the case")
    return Option(label, item)


def _require_safe(text: str, item: Node) -> None:
    if not VALUE.fullmatch(text):
        fault(item.mark, f"found {text!r}, which does not fit into an id, expected letters, digits, . _ + -")
