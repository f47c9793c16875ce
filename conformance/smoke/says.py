"""What an adapter says of its implementation: who it is, its dialect, what it cannot be asked."""

from __future__ import annotations

import re

from conformance.adapters.contract import Implementation
from conformance.definition.dialect import Dialect
from conformance.smoke.check import Subject, UnfitError, small_case

__all__ = ["describes", "speaks", "tells_what_it_lacks"]

_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_SHAPES = ("4x3", "2x3x4", "2x3x4x5", "2x3x2x4x5")
_DTYPES = ("float32", "float64", "float16", "bfloat16")
_CASES = tuple(small_case("train", "evaluate", shape=shape, dtype=dtype) for shape in _SHAPES for dtype in _DTYPES)


def describes(subject: Subject) -> None:
    """See that ``describe()`` names the implementation and its versions."""
    who = subject.adapter.describe()
    if not isinstance(who, Implementation):
        raise UnfitError(
            f"describe() gave {who!r}", "a conformance.adapters.contract.Implementation",
            "return Implementation(name=..., versions={...})",
        )  # fmt: skip
    if not _NAME.fullmatch(who.name):
        raise UnfitError(
            f"describe() names it {who.name!r}", "lower-case words joined by '.', '-' or '_'",
            "give the column a name; the execution is a field of its own",
        )  # fmt: skip
    unversioned = [name for name, version in who.versions.items() if not (isinstance(version, str) and version)]
    if not who.versions or unversioned:
        raise UnfitError(
            f"describe() tells the versions {dict(who.versions)!r}", "a version, as text, of each package that matters",
            "tell at least that of the implementation, first: importlib.metadata.version(...)",
        )  # fmt: skip


def speaks(subject: Subject) -> None:
    """See that ``dialect_for`` is a ``Dialect`` for layers of every rank and dtype."""
    for case in _CASES:
        dialect = subject.adapter.dialect_for(case.layer)
        if not isinstance(dialect, Dialect):
            raise UnfitError(
                f"dialect_for gave {dialect!r} for rank {case.layer.rank} in {case.dtype}",
                "a conformance.definition.dialect.Dialect", "return Dialect(...), for every layer",
            )  # fmt: skip


def tells_what_it_lacks(subject: Subject) -> None:
    """See that ``unsupported`` gives a reason, or ``None``, whatever the case."""
    for case in (*_CASES, small_case("train", momentum="cumulative"), small_case("train", gamma="none", beta="none")):
        why = subject.adapter.unsupported(case)
        if why is not None and not (isinstance(why, str) and why.strip()):
            raise UnfitError(
                f"unsupported() gave {why!r} for a case of the shape {case.shape} in {case.dtype}",
                "None, or the reason as text", "return the reason in a sentence, None where there is none",
            )  # fmt: skip
