"""The one pattern syntax for cases: on the command line, in records and in the report."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from conformance.corpus.case import Case
from conformance.errors import UsageError

__all__ = ["in_set", "matches", "refuse_unknown_tags", "select"]

_SYNTAX = "`*` stands for one whole segment: file/*, */name, file/name[*], file/name[dtype=float32,*]"
_LAST = re.compile(r"(?P<name>[^\[\]]+)(?:\[(?P<parameters>[^\[\]]*)\])?")


@dataclass(frozen=True)
class _Pattern:
    """A parsed pattern or id: its segments and the parameters, with ``rest`` if others may follow."""

    segments: tuple[str, ...]
    parameters: frozenset[str]
    rest: bool

    def covers(self, case: _Pattern) -> bool:
        """Tell whether every segment and parameter fits."""
        if len(self.segments) != len(case.segments):
            return False
        if any(own not in ("*", other) for own, other in zip(self.segments, case.segments, strict=True)):
            return False
        return self.parameters <= case.parameters if self.rest else self.parameters == case.parameters


def matches(pattern: str, case_id: str) -> bool:
    """Tell whether the pattern covers the id of a case.

    Segments are separated by ``/``; ``*`` stands for one whole segment. The last one is
    ``name[param=value,...]``; ``name`` and ``name[*]`` mean all its variations, and ``,*`` after
    some parameters leaves the others open.

    Raises:
        UsageError: the pattern is malformed, ``foo*`` for instance.
    """
    return _parse(pattern).covers(_parse(case_id, literal=True))


def in_set(case: Case, tags: Sequence[str]) -> bool:
    """Tell whether a case is in the default set, which those with a tag are not, or has one of ``tags``."""
    return not case.tags or any(tag in tags for tag in case.tags)


def refuse_unknown_tags(tags: Sequence[str], cases: Iterable[Case]) -> None:
    """Refuse a tag that no case has.

    Raises:
        UsageError: says which, and what tags there are.
    """
    known = sorted({tag for case in cases for tag in case.tags})
    for tag in tags:
        if tag not in known:
            raise UsageError(f"tag {tag!r} marks no case", hint=f"tags are: {', '.join(known) or 'none'}")


def select(cases: Iterable[Case], patterns: Sequence[str]) -> tuple[Case, ...]:
    """Return the cases that any of the patterns covers, in their order; all if there is no pattern.

    Raises:
        UsageError: a pattern is malformed or covers nothing; near ids are named.
    """
    cases = tuple(cases)
    if not patterns:
        return cases
    for pattern in patterns:
        if not any(matches(pattern, case.id) for case in cases):
            raise UsageError(f"case pattern {pattern!r} matches no case", hint=_hint(pattern, cases))
    return tuple(case for case in cases if any(matches(pattern, case.id) for pattern in patterns))


def _hint(pattern: str, cases: tuple[Case, ...]) -> str:
    if any(case.file == pattern for case in cases):
        return f"for the whole file write {pattern}/*"
    if any(matches(f"{pattern}/*", case.id) for case in cases if "[" not in pattern):
        return f"`*` stands for one segment; a folder further down it is {pattern}/*"
    names = dict.fromkeys(case.id.partition("[")[0] for case in cases)
    variations = [case.id for case in cases if case.id.startswith(pattern.partition("[")[0] + "[")]
    near = difflib.get_close_matches(pattern, variations or list(names), n=3, cutoff=0.4)
    return f"near ones: {', '.join(near)}" if near else "`conformance list --cases` prints every id; see also --tag"


@lru_cache(maxsize=4096)
def _parse(text: str, *, literal: bool = False) -> _Pattern:
    path, bracket, _ = text.partition("[")
    *head, name = path.split("/")
    match = _LAST.fullmatch(name + text[len(path) :])
    if match is None:
        raise UsageError(f"case pattern {text!r}: found an odd bracket or no name", hint=_SYNTAX)
    segments = (*head, name)
    items = match["parameters"].split(",") if bracket else []
    rest = not literal and (not bracket or "*" in items)
    pattern = _Pattern(segments, frozenset(item for item in items if item != "*"), rest)
    _refuse(text, pattern, items)
    return pattern


def _refuse(text: str, pattern: _Pattern, items: list[str]) -> None:
    if "" in pattern.segments:
        raise UsageError(f"case pattern {text!r}: found an empty segment", hint=_SYNTAX)
    for segment in (*pattern.segments, *pattern.parameters):
        if "*" in segment and segment != "*":
            raise UsageError(f"case pattern {text!r}: found the partial wildcard {segment!r}", hint=_SYNTAX)
    if "*" in items[:-1]:
        raise UsageError(
            f"case pattern {text!r}: found `*` before other parameters, expected it last", hint=_SYNTAX
        )
    if any("=" not in item for item in pattern.parameters):
        raise UsageError(f"case pattern {text!r}: expected parameter=value in the brackets", hint=_SYNTAX)
