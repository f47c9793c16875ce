"""What travels between the controller and the workers of a cluster: records, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from conformance.adapters.contract import Implementation
from conformance.corpus.case import Case
from conformance.host.configuration import ConfiguredHost
from conformance.results.rows import CellRow, ImplementationRow
from conformance.verdict.deviations import Deviation

__all__ = ["Begin", "Begun", "Judged", "Search", "Searched", "decode", "encode"]


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """Start an implementation: by its adapter, or as a configured ``host``.

    ``suite`` is the asker's version, ``asker`` who that is to the scheduler, and ``present`` who is there beside it.
    """

    adapter: str
    suite: str
    time_limit: float
    memory_limit: int
    device: str = "cpu"
    host: ConfiguredHost | None = None
    deviations: tuple[Deviation, ...] = ()
    asker: str = ""
    present: tuple[str, ...] = ()


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Who was started; or why nobody was, with a hint."""

    implementation: Implementation | None = None
    error: str = ""
    hint: str = ""


class Judged(msgspec.Struct, frozen=True):
    """Cells, each with the place of its column in ``columns``."""

    columns: tuple[ImplementationRow, ...]
    cells: tuple[tuple[int, CellRow], ...]


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Judge one block of drawn cases."""

    seed: int
    block: int
    examples: int
    seconds: float | None = None


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a block; of a case that fails its verdict, why, and the clauses."""

    examples: int
    verdicts: dict[str, int]
    known: dict[str, int]
    case: Case | None = None
    verdict: str = ""
    explanation: str = ""
    clauses: tuple[str, ...] = ()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):  # a framework's version may be of a class derived from str
        return str(value)
    raise TypeError(f"cannot send a {type(value).__name__}: {value!r}")


def _path(kind: type, value: Any) -> Any:
    return kind(value)


encode = msgspec.json.Encoder(enc_hook=_plain).encode


def decode(text: bytes, kind: type[Any]) -> Any:
    """Return the record of that kind."""
    return msgspec.json.decode(text, type=kind, dec_hook=_path)
