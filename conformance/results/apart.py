"""Columns of one id that are not the same thing: told apart by what they differ in, before files are merged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from conformance.results.read import Results
from conformance.results.rows import ImplementationRow, RunRow

__all__ = ["STATED", "tell_apart", "unlike"]

#: Fields of a column that are mappings, and have to agree where both files have an entry.
STATED = ("versions", "dialect", "settings")


def unlike(one: ImplementationRow, other: ImplementationRow) -> Iterator[str]:
    """Yield what the rows contradict each other in; what only one of them states is no contradiction."""
    if one.provenance != other.provenance:
        yield f"provenance ({one.provenance} and {other.provenance})"
    for field in STATED:
        mine, theirs = getattr(one, field), getattr(other, field)
        for key in mine:
            if key in theirs and mine[key] != theirs[key]:
                yield f"{field} {key} ({mine[key]} and {theirs[key]})"


def tell_apart(results: Sequence[Results], *, verdicts: bool = False) -> list[Results]:
    """Return the results with ids that stand for one thing each.

    An id carries the version of one package. Where files describe the column of an id differently, its
    version gets a suffix of what tells them apart: ``+jax-0.7.2`` for another package, else what was
    set, the provenance, the suite, the corpus or the start of the run, the first of these that does.
    With ``verdicts`` columns that give one case different verdicts are told apart too, by machine first.
    """
    holders: dict[str, list[int]] = {}
    for at, one in enumerate(results):
        for row in one.run.implementations:
            holders.setdefault(row.id, []).append(at)
    renamed: list[dict[str, str]] = [{} for _ in results]
    for identifier, files in holders.items():
        if len(files) > 1:
            suffixes = _suffixes(identifier, [results[at] for at in files], verdicts=verdicts)
            for at, suffix in zip(files, suffixes, strict=True):
                if suffix:
                    renamed[at][identifier] = _suffixed(identifier, suffix)
    return [_renamed(one, names) if names else one for one, names in zip(results, renamed, strict=True)]


def _suffixed(identifier: str, suffix: str) -> str:
    name, at, rest = identifier.partition("@")
    version, colon, mode = rest.partition(":")
    return f"{name}{at}{version}{suffix}{colon}{mode}"


def _renamed(one: Results, names: Mapping[str, str]) -> Results:
    replace = msgspec.structs.replace
    run = one.run
    return replace(
        one,
        run=replace(
            run,
            implementations=tuple(replace(row, id=names.get(row.id, row.id)) for row in run.implementations),
            runs=tuple(
                replace(part, implementations=tuple(names.get(own, own) for own in part.implementations))
                for part in run.runs
            ),
        ),
        cells=tuple(
            replace(cell, implementation=names[cell.implementation]) if cell.implementation in names else cell
            for cell in one.cells
        ),
    )


def _suffixes(identifier: str, holders: Sequence[Results], *, verdicts: bool) -> list[str]:
    """Return a suffix for each file, taking one more difference until nothing of one name clashes."""
    rows = [one.implementation(identifier) for one in holders]
    runs = [one.run for one in holders]
    given = [_verdicts(identifier, one) if verdicts else {} for one in holders]
    clashing = [
        (a, b) for a in range(len(rows)) for b in range(a)
        if any(unlike(rows[a], rows[b])) or any(given[b].get(case, own) != own for case, own in given[a].items())
    ]  # fmt: skip
    suffixes = [""] * len(rows)
    for parts in _differences(rows, runs, machines=verdicts):
        if all(suffixes[a] != suffixes[b] for a, b in clashing):
            break
        if any(suffixes[a] == suffixes[b] and parts[a] != parts[b] for a, b in clashing):
            suffixes = [suffix + part for suffix, part in zip(suffixes, parts, strict=True)]
    return suffixes


def _verdicts(identifier: str, one: Results) -> dict[str, str]:
    return {cell.case: cell.verdict for cell in one.cells if cell.implementation == identifier}


def _differences(
    rows: Sequence[ImplementationRow], runs: Sequence[RunRow], *, machines: bool
) -> Iterator[list[str]]:
    """Yield, from the most telling on, what each file could be named by."""
    yield _varying([row.versions for row in rows])
    yield _varying([row.settings for row in rows])
    yield _each(rows, lambda row: row.provenance)
    if machines:
        yield _varying([run.machine for run in runs])
    yield _each(runs, lambda run: f"suite-{run.suite}")
    yield _each(runs, lambda run: f"corpus-{run.cases_digest[:8]}")
    yield _each(runs, lambda run: re.sub(r"\W", "", run.started)[:15])


def _varying(stated: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the entries that are not the same in all, as ``+key-value``."""
    keys = dict.fromkeys(key for one in stated for key in one)
    unequal = [key for key in keys if len({one[key] for one in stated if key in one}) > 1]
    return ["".join(_plain(f"{key}-{one[key]}") for key in unequal if key in one) for one in stated]


def _each(items: Sequence[object], name: Callable[..., str]) -> list[str]:
    names = [_plain(name(item)) for item in items]
    return names if len(set(names)) > 1 else [""] * len(names)


def _plain(text: str) -> str:
    return "+" + re.sub(r"[^\w.+-]+", "-", text)
