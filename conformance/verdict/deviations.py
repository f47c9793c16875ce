"""Recorded deviations: data files that say who deviates, where, how and why, and are held to it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from conformance.adapters.registry import known
from conformance.corpus.faults import raise_from
from conformance.corpus.marks import Node, parse, plain
from conformance.corpus.select import matches
from conformance.definition.variants import VARIANTS
from conformance.errors import CaseError, DeviationError, UsageError
from conformance.host.observation import Raised
from conformance.pages import page
from conformance.verdict.attribution import QUANTITIES

__all__ = ["Deviation", "load_deviations"]

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Deviation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recorded deviation of one implementation.

    ``versions`` is a specifier (PEP 440) for the version that names its column; ``cases`` are
    patterns, ``quantities`` names such as ``y`` or ``running_var``, ``variants`` the changes of the
    oracle that predict what is observed. In place of these two, ``raises`` is the type of the error that comes where
    there is an answer to give, and ``message`` a part of its text. ``proof`` says by which independent calculation,
    or experiment, it was found true.
    """

    name: NonEmpty
    implementation: NonEmpty
    versions: str = ""
    execution: str = ""
    cases: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]
    quantities: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)] = ()
    variants: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)] = ()
    raises: str = ""
    message: str = ""
    reason: NonEmpty
    proof: NonEmpty
    upstream: str = ""

    def __post_init__(self) -> None:
        self._is_of_one_kind()
        for quantity in self.quantities:
            if quantity not in QUANTITIES:
                expected = f"expected some of {', '.join(QUANTITIES)}"
                raise ValueError(f"entry {self.name!r}: `quantities` names {quantity!r}, {expected}")
        for variant in self.variants:
            if variant not in VARIANTS:
                near = difflib.get_close_matches(variant, VARIANTS, n=1)
                meant = f"did you mean {near[0]!r}?" if near else "`conformance list --variants` prints them"
                raise ValueError(f"entry {self.name!r}: `variants` names {variant!r}, which is no variant; {meant}")
        try:
            SpecifierSet(self.versions)
        except InvalidSpecifier:
            raise ValueError(
                f"entry {self.name!r}: `versions` is {self.versions!r}, expected a specifier such as '>=0.8,<1'"
            ) from None
        for pattern in self.cases:
            try:
                matches(pattern, "file/name")
            except UsageError as error:
                raise ValueError(f"entry {self.name!r}: `cases`: {error.args[0]}") from None

    def _is_of_one_kind(self) -> None:
        """Refuse a record that tells neither what is answered nor which error is raised, or both."""
        if self.message and not self.raises:
            raise ValueError(f"entry {self.name!r}: `message` is part of an error's text; expected `raises`, its type")
        if self.raises and (self.quantities or self.variants):
            raise ValueError(
                f"entry {self.name!r}: has both `raises` and `{'variants' if self.variants else 'quantities'}`; "
                "expected two entries, one of the error and one of the answers"
            )
        if not self.raises and not (self.quantities and self.variants):
            raise ValueError(
                f"entry {self.name!r}: expected `quantities` and `variants`, or `raises` where it raises an error"
            )

    @property
    def error(self) -> str:
        """Return what error is recorded, in words."""
        return f"{self.raises} with {self.message!r} in its message" if self.message else self.raises

    def awaits(self, error: Raised) -> bool:
        """Tell whether an error is the recorded one: of that type, with that part in its message."""
        return error.type == self.raises and self.message in error.message

    def concerns(self, quantity: str) -> bool:
        """Tell whether the record speaks of a quantity of that name."""
        return quantity in self.quantities

    def concerns_implementation(self, name: str, version: str, execution: str) -> bool:
        """Tell whether the record speaks of that column."""
        return name == self.implementation and self.execution in ("", execution) and self._concerns_version(version)

    def _concerns_version(self, version: str) -> bool:
        try:
            return not self.versions or SpecifierSet(self.versions, prereleases=True).contains(version)
        except InvalidVersion:  # a version that PEP 440 cannot order lies in no range
            return False

    def concerns_case(self, case_id: str) -> bool:
        """Tell whether a pattern of the record covers the case."""
        return any(matches(pattern, case_id) for pattern in self.cases)


def load_deviations(extra: Sequence[Path] = ()) -> tuple[Deviation, ...]:
    """Return the suite's own records and those of further files.

    Raises:
        DeviationError: a file cannot be read, an entry is malformed, which is told as
            ``file:line:column``, two entries have the same name, or one is of an execution that its
            implementation does not have.
    """
    texts = []
    for path in extra:
        try:
            texts.append((str(path), path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise DeviationError(
                f"{path}: recorded deviations cannot be read: {what}", hint="name a YAML file with --deviations FILE"
            ) from None
    records = [*_own(), *(record for name, text in texts for record in _parse(name, text))]
    names = [record.name for record in records]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeviationError(f"two recorded deviations are named {twice[0]!r}", hint="rename one of them")
    _refuse_unknown_executions(records)
    return tuple(records)


def _refuse_unknown_executions(records: Sequence[Deviation]) -> None:
    """Refuse a record of an execution that no adapter has, where the implementation is that of an adapter known here.

    Such a record would concern no column, and nothing would tell of it.
    """
    executions: dict[str, list[str]] = {}
    for adapter in known():
        name, _, execution = adapter.partition(":")
        executions.setdefault(name, []).append(execution or "eager")
    for record in records:
        there = executions.get(record.implementation, [record.execution])
        if record.execution and record.execution not in there:
            raise DeviationError(
                f"recorded deviation {record.name!r}: `execution` is {record.execution!r}, expected one in which "
                f"{record.implementation} is asked: {', '.join(there)}",
                hint="leave `execution` out where the record is of all of them",
            )


@cache
def _own() -> tuple[Deviation, ...]:
    own = sorted(resources.files("conformance.deviations").iterdir(), key=lambda item: item.name)
    texts = [(item.name, item.read_text("utf-8")) for item in own if item.name.endswith(".yaml")]
    return tuple(record for name, text in texts for record in _parse(name, text))


def _parse(name: str, text: str) -> list[Deviation]:
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return []
    try:
        return [_record(node) for node in parse(text, name).sequence]
    except CaseError as error:  # the same YAML as in case files, and the same words for its faults
        raise DeviationError(str(error.args[0]), hint=f"{page('deviations.md')} says how an entry is made") from None


def _record(node: Node) -> Deviation:
    try:
        return msgspec.convert(plain(node), Deviation)
    except msgspec.ValidationError as error:
        raise_from(error, node, Deviation)
