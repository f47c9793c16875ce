"""Recorded deviations: data files that say who deviates, where, how and why, and are held to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from conformance.corpus.case import Case
from conformance.corpus.select import matches
from conformance.definition.variants import VARIANTS
from conformance.errors import DeviationError

__all__ = ["Deviation", "check_against", "load_deviations"]

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Deviation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recorded deviation of one implementation.

    ``versions`` is a specifier (PEP 440) for the version that names its column; ``cases`` are
    patterns, ``quantities`` names such as ``y`` or ``running_var``, ``variants`` the changes of the
    oracle that predict what is observed. ``proof`` says by which independent calculation it was found true.
    """

    name: NonEmpty
    implementation: NonEmpty
    versions: str = ""
    execution: str = ""
    cases: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]
    quantities: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]
    variants: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]
    reason: NonEmpty
    proof: NonEmpty
    upstream: str = ""

    def __post_init__(self) -> None:
        for variant in self.variants:
            if variant not in VARIANTS:
                raise ValueError(f"`variants` names {variant!r}, which is none of the {len(VARIANTS)} variants")
        try:
            SpecifierSet(self.versions)
        except InvalidSpecifier:
            raise ValueError(f"`versions` is {self.versions!r}, expected a specifier such as '>=0.8,<1'") from None

    def concerns(self, quantity: str) -> bool:
        """Tell whether the record speaks of a quantity of that name."""
        return quantity in self.quantities

    def concerns_implementation(self, name: str, version: str, execution: str) -> bool:
        """Tell whether the record speaks of that column."""
        return (
            name == self.implementation
            and self.execution in ("", execution)
            and SpecifierSet(self.versions, prereleases=True).contains(version)
        )

    def concerns_case(self, case_id: str) -> bool:
        """Tell whether a pattern of the record covers the case."""
        return any(matches(pattern, case_id) for pattern in self.cases)


def load_deviations(extra: Sequence[Path] = ()) -> tuple[Deviation, ...]:
    """Return the suite's own records and those of further files.

    Raises:
        DeviationError: a file cannot be read or an entry is malformed; says where and what.
    """
    own = sorted(resources.files("conformance.deviations").iterdir(), key=lambda item: item.name)
    texts = [(item.name, item.read_text("utf-8")) for item in own if item.name.endswith(".yaml")]
    for path in extra:
        try:
            texts.append((str(path), path.read_text("utf-8")))
        except OSError as error:
            raise DeviationError(f"{path}: cannot be read: {error.strerror}") from None
    records = [record for name, text in texts for record in _parse(name, text)]
    names = [record.name for record in records]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeviationError(f"two recorded deviations are named {twice[0]!r}", hint="rename one of them")
    return tuple(records)


def check_against(deviations: Iterable[Deviation], cases: Sequence[Case]) -> None:
    """Refuse a record whose pattern covers no case of the whole corpus.

    Raises:
        DeviationError: naming the record and the pattern to remove.
    """
    for record in deviations:
        for pattern in record.cases:
            if not any(matches(pattern, case.id) for case in cases):
                raise DeviationError(
                    f"recorded deviation {record.name!r}: the pattern {pattern!r} matches no case",
                    hint=f"remove the line `- {pattern}` from its `cases`, or mend it",
                )


def _parse(name: str, text: str) -> list[Deviation]:
    try:
        return msgspec.convert(yaml.safe_load(text) or [], list[Deviation])
    except yaml.YAMLError as error:
        raise DeviationError(f"{name}: not YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise DeviationError(
            f"{name}: {error}", hint="an entry is described in docs/deviations.md; entries count from 0"
        ) from None
