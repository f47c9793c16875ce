"""What the same cells came to mean: choices that an implementation makes otherwise than in an earlier run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

import msgspec

from conformance.definition.dialect import Dialect, choices, options
from conformance.definition.variants import option_name
from conformance.results.rows import CellRow, ImplementationRow, QuantityRow

__all__ = ["MeaningChange", "declared_changes", "observed_changes"]


class MeaningChange(msgspec.Struct, frozen=True, kw_only=True):
    """A choice of one column that is not what it was: ``running variance: population -> sample``.

    ``declared`` by the implementation's dialect, or seen only by what explains its cells, in so many ``cells``;
    an option that varies with the layer is ``a / b``.
    """

    implementation: str
    choice: str
    old: str
    new: str
    declared: bool
    cells: int = 0
    old_version: str = ""
    new_version: str = ""

    def __str__(self) -> str:
        return f"{self.choice.replace('_', ' ')}: {self.old} -> {self.new}"


def declared_changes(was: ImplementationRow, now: ImplementationRow) -> Iterator[tuple[str, str, str]]:
    """Yield choice, old and new option where both state the choice, and differently."""
    for choice, option in now.dialect.items():
        if was.dialect.get(choice, option) != option:
            yield choice, was.dialect[choice], option


def observed_changes(
    was: ImplementationRow, now: ImplementationRow, pairs: Iterable[tuple[CellRow, CellRow]]
) -> Iterator[tuple[str, str, str, int]]:
    """Yield choice, old and new option, and in how many pairs of cells what explains them says so."""
    usual = _reference(was.dialect), _reference(now.dialect)
    counts: dict[tuple[str, str, str], int] = {}
    for old, new in pairs:
        before = {(row.step, row.name): row for row in old.quantities}
        found = {
            change for row in new.quantities if (row.step, row.name) in before
            for change in _changes(before[row.step, row.name], row, usual)
            # What both declare alike and deviate as declared is no change: a case need not tell every choice.
            if not (old.verdict == new.verdict == "deviates" and _alike(was, now, change[0]))
        }  # fmt: skip
        for change in found:
            counts[change] = counts.get(change, 0) + 1
    yield from ((*change, count) for change, count in counts.items())


def _changes(
    was: QuantityRow, now: QuantityRow, usual: tuple[Mapping[str, str], Mapping[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Yield the choices in which the two explanations part; what agrees has made the reference's."""
    before, after = _chosen(was), _chosen(now)
    if before is None or after is None:
        return
    for choice in before | after:
        old, new = (chosen.get(choice, known[choice]) for chosen, known in zip((before, after), usual, strict=True))
        if old != new:
            yield choice, old, new


def _alike(was: ImplementationRow, now: ImplementationRow, choice: str) -> bool:
    """Tell whether both declare the choice, and the same option."""
    return choice in was.dialect and was.dialect[choice] == now.dialect.get(choice)


def _reference(dialect: Mapping[str, str]) -> dict[str, str]:
    """Return what a column that agrees has chosen: the paper's option, or its own where the paper is silent."""
    return {
        choice.name: str(dialect.get(choice.name, choice.default) if choice.metadata.get("silent") else choice.default)
        for choice in fields(Dialect)
    }


def _chosen(row: QuantityRow) -> dict[str, str] | None:
    """Return the options that explain a quantity, none for the reference's; ``None`` where it is not explained."""
    if row.variant is None:
        return {} if row.verdict in ("agrees", "rough") and row.discriminates is not False else None
    options_of = [_OPTIONS[part] for part in row.variant.split(" + ") if part in _OPTIONS]
    return dict(options_of) or None


_OPTIONS = {option_name(choice, option): (choice, option) for choice in choices() for option in options(choice)}
