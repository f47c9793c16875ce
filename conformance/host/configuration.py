"""Hosts by command: named in a file or in ``pyproject.toml``, each with an interpreter or program of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from conformance.adapters.registry import known
from conformance.corpus.faults import raise_from
from conformance.corpus.marks import Mark, Node, fault, parse, plain
from conformance.errors import CaseError, UsageError
from conformance.pages import page

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["NAME", "ConfiguredHost", "HostEntry", "load_hosts", "project_hosts"]

NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*(:[a-z0-9]+([._-][a-z0-9]+)*)?")
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_HINT = f"{page('hosts.md')} says how an entry is made"

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class HostEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host as it is written: a ``command``, or a ``python`` with an ``adapter`` for it.

    A path that starts with ``./``, ``../`` or ``~``, or has a slash in it, is one from the folder of the file;
    that folder is where the host runs, unless ``directory`` names another. ``environment`` is laid over
    the variables that every host gets. ``start_limit`` is in seconds.
    """

    command: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)] | None = None
    python: NonEmpty | None = None
    adapter: NonEmpty | None = None
    title: str = ""
    environment: dict[NonEmpty, str | int | float] = {}
    directory: NonEmpty = "."
    start_limit: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 180.0

    def __post_init__(self) -> None:
        if (self.command is None) == (self.python is None):
            raise ValueError("found an entry that is not startable, expected either `command` or `python`")
        if (self.python is None) != (self.adapter is None):
            raise ValueError("found one of `python` and `adapter`, expected both: the one runs the other")


@dataclass(frozen=True, kw_only=True)
class ConfiguredHost:
    """A host that can be started; ``place`` is where it was read, as ``file:line``."""

    name: str
    command: tuple[str, ...]
    place: str
    title: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path
    start_limit: float = 180.0


def load_hosts(file: Path) -> dict[str, ConfiguredHost]:
    """Return the hosts of a YAML file by name: a mapping ``implementations`` from name to entry.

    Raises:
        UsageError: says where, what was found and what was expected.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{file}: cannot be read: {why}; expected a file in UTF-8", hint=_HINT) from None
    try:
        tree = parse(text, str(file))
        for key in tree.mapping:
            if key != "implementations":
                fault(tree.keys[key], f"found the unknown key `{key}`, expected implementations")
        if "implementations" not in tree.mapping:
            fault(tree.mark, "found no `implementations`, expected one")
        return _hosts(tree.mapping["implementations"], file.parent)
    except CaseError as error:  # the same YAML as in case files, and the same words for its faults
        raise UsageError(str(error.args[0]), hint=_HINT) from None


def project_hosts(folder: Path) -> dict[str, ConfiguredHost]:
    """Return the hosts of ``[tool.conformance.implementations]`` in the ``pyproject.toml`` of ``folder``.

    Without such a file or table there are none.

    Raises:
        UsageError: as ``load_hosts``.
    """
    file = folder / "pyproject.toml"
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError:
        return {}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: found {error}, expected TOML") from None
    except RecursionError:
        raise UsageError(f"{file}: found lists or tables nested hundreds deep, expected TOML for people") from None
    table: Any = document
    for name in ("tool", "conformance", "implementations"):
        if not isinstance(table, dict):
            found = f"found a plain value where the table of `{name}` belongs"
            raise UsageError(f"{file}: {found}, expected a table", hint=_HINT)
        table = table.get(name, {})
    try:
        return _hosts(_as_nodes(table, str(file), text), folder)
    except CaseError as error:
        raise UsageError(str(error.args[0]), hint=_HINT) from None


def _hosts(entries: Node, folder: Path) -> dict[str, ConfiguredHost]:
    taken = known()
    found = {}
    for name, node in entries.mapping.items():
        place = entries.keys[name]
        if not NAME.fullmatch(name):
            fault(place, f"found the name `{name}`, expected lower-case words such as torch-1.13 or torch-1.13:compile")
        if name in taken:
            fault(place, f"found the name `{name}`, which an adapter has already, expected another")
        found[name] = _host(name, place, node, folder)
    return found


def _host(name: str, place: Mark, node: Node, folder: Path) -> ConfiguredHost:
    try:
        entry = msgspec.convert(plain(node), HostEntry)
    except msgspec.ValidationError as error:
        raise_from(error, node, HostEntry)
    command = entry.command or (entry.python or "", str(_BOOTSTRAP), entry.adapter or "")
    return ConfiguredHost(
        name=name, command=(_program(command[0], folder, place), *command[1:]), place=f"{place.file}:{place.line}",
        title=entry.title, environment={key: str(value) for key, value in entry.environment.items()},
        directory=_path(entry.directory, folder, place), start_limit=entry.start_limit,
    )  # fmt: skip


def _program(program: str, folder: Path, place: Mark) -> str:
    """Return the program: a name is looked up on the path when it is started, a path is one from ``folder``."""
    return str(_path(program, folder, place)) if "/" in program else program


def _path(written: str, folder: Path, place: Mark) -> Path:
    """Return a path from ``folder``, or from somebody's home."""
    try:
        path = Path(written).expanduser()
    except RuntimeError:  # ~name
        fault(place, f"found the path `{written}`, and no home of that name here, expected a path")
    # Not resolved: what makes the Python of a virtual environment its own is that it is a link.
    return (folder / path).absolute()


def _as_nodes(value: Any, file: str, text: str, line: int = 1) -> Node:
    """Return a table of TOML as the tree that YAML would give; its marks are the lines of the headers."""
    mark = Mark(file, line, 1)
    if isinstance(value, dict):
        lines = {key: _line_of(key, text) or line for key in value}
        children = {key: _as_nodes(one, file, text, lines[key]) for key, one in value.items()}
        return Node(mark, children, keys={key: Mark(file, lines[key], 1) for key in value})
    if isinstance(value, list):
        return Node(mark, [_as_nodes(one, file, text, line) for one in value])
    return Node(mark, value, str(value))


def _line_of(key: str, text: str) -> int | None:
    """Return the line of the table of that name, which TOML's parser does not tell."""
    header = re.compile(rf'\s*\[tool\.conformance\.implementations\.["\']?{re.escape(key)}["\']?[\].]')
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if header.match(line)), None)
