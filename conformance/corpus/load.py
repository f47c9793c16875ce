"""Case files to cases: found, parsed, expanded, validated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from conformance.corpus.case import Case
from conformance.corpus.checks import check_case
from conformance.corpus.expand import expand
from conformance.corpus.faults import raise_from
from conformance.corpus.marks import Mark, Node, fault, parse, plain
from conformance.corpus.select import in_set, refuse_unknown_tags
from conformance.errors import CaseError

__all__ = ["NAME", "Definition", "checkout", "default_root", "load_corpus", "load_definitions", "load_file"]

_SEGMENT = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Definition:
    """One entry of a case file with the cases that it expands to."""

    mark: Mark
    name: str
    cases: tuple[Case, ...]


def checkout() -> Path | None:
    """Return the root of the checkout that the package runs from, ``None`` if it is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "cases").is_dir() else None


def default_root() -> Path:
    """Return the corpus: ``cases/`` of the checkout, else the copy inside the installed package."""
    root = checkout()
    return root / "cases" if root is not None else Path(str(resources.files("conformance").joinpath("cases")))


def load_corpus(root: Path | None = None, tags: Sequence[str] = ()) -> tuple[Case, ...]:
    """Return the default set below ``root`` (default: ``default_root()``), files in order of their paths.

    These are the cases without a tag; those that have one of ``tags`` come with them.

    Raises:
        CaseError: a file is malformed, two cases share an id, or there are none.
        UsageError: one of ``tags`` marks no case.
    """
    cases = [case for definition in load_definitions(root) for case in definition.cases]
    refuse_unknown_tags(tags, cases)
    return tuple(case for case in cases if in_set(case, tags))


def load_file(path: Path, root: Path) -> tuple[Case, ...]:
    """Return the cases of one file below ``root``, tagged ones included.

    Raises:
        CaseError: the file is malformed, or two of its cases share an id.
    """
    return tuple(case for definition in _definitions(path, root) for case in definition.cases)


def load_definitions(root: Path | None = None) -> tuple[Definition, ...]:
    """Return the entries of every case file below ``root``, each with its place and cases.

    Raises:
        CaseError: as ``load_corpus``.
    """
    root = default_root() if root is None else root
    if not root.is_dir():
        if root.is_file():
            raise CaseError(f"{root}: found a file, expected a folder of case files, such as {root.parent}")
        raise CaseError(f"{root}: found no such folder, expected the case files there")
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".yaml", ".yml"))
    definitions = tuple(definition for path in paths for definition in _definitions(path, root))
    if not definitions:
        raise CaseError(f"{root}: found no case, expected at least one file with the suffix .yaml")
    return definitions


def _definitions(path: Path, root: Path) -> list[Definition]:
    label = f"{root.name}/{path.relative_to(root).as_posix()}"
    start = Mark(label, 1, 1)
    stem = path.relative_to(root).with_suffix("").as_posix()
    if path.suffix != ".yaml" or not all(_SEGMENT.fullmatch(part) for part in stem.split("/")):
        fault(start, "found this file name, expected lower-case words and the suffix .yaml", hint="rename it")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fault(start, f"cannot be read: {getattr(error, 'strerror', None) or error}; expected a file in UTF-8")
    document = parse(text, label)
    _check_keys(document)
    definitions: list[Definition] = []
    seen: dict[str, Mark] = {}
    for node in document.mapping["cases"].sequence:
        definition = _definition(node, stem)
        for case in definition.cases:
            if case.id in seen:
                fault(
                    node.mark,
                    f"found the id {case.id} again, expected it once (first in line {seen[case.id].line})",
                )
            seen[case.id] = node.mark
        definitions.append(definition)
    return definitions


def _check_keys(document: Node) -> None:
    for key in document.mapping:
        if key not in ("title", "cases"):
            fault(document.keys[key], f"found the unknown key `{key}`, expected title or cases")
    for key in ("title", "cases"):
        if key not in document.mapping:
            fault(document.mark, f"found no `{key}`, expected one")
    title = document.mapping["title"]
    if not isinstance(title.content, str):
        fault(title.mark, f"found {title.kind}, expected a title")


def _definition(node: Node, stem: str) -> Definition:
    name = node.mapping.get("name")
    if name is None:
        fault(node.mark, "found a case without `name`, expected one")
    if not isinstance(name.content, str) or not NAME.fullmatch(name.content):
        fault(name.mark, f"found {name.kind}, expected a name of lower-case words joined by hyphens")
    if "id" in node.mapping:
        fault(node.keys["id"], "found `id`, expected `name`: the id is made of file, name and varied values")
    cases = tuple(_case(f"{stem}/{name.content}{suffix}", tree) for suffix, tree in expand(node))
    return Definition(node.mark, name.content, cases)


def _case(case_id: str, tree: Node) -> Case:
    data: dict[str, Any] = plain(tree)
    try:
        case = msgspec.convert({"id": case_id, **data}, Case, strict=True)
    except msgspec.ValidationError as error:
        raise_from(error, tree)
    check_case(case, tree)
    return case
