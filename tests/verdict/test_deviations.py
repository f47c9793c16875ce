"""Recorded deviations: files that say where they are at fault, and records that concern what they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.errors import DeviationError
from conformance.verdict.deviations import Deviation, load_deviations

ENTRY = """\
- name: no gamma
  implementation: fake
  cases: [made/up]
  quantities: [y]
  variants: [gamma ignored]
  reason: Gamma is ignored.
  proof: By hand.
"""

# the file's text, what the message says behind the file's name
MALFORMED = {
    "not YAML": ("- name: [\n", ":2:1: no YAML: "),
    "no list": ("name: no gamma\n", ":1:1: found a mapping, expected a list"),
    "no mapping": ("- no gamma\n", ":1:3: found 'no gamma', expected a mapping"),
    "field missing": (ENTRY.replace("  reason: Gamma is ignored.\n", ""), ":1:3: found no `reason`, expected one"),
    "field unknown": (ENTRY + "  verdict: agrees\n", ":8:3: found the unknown key `verdict`, expected one of name, "),
    "field twice": (ENTRY + "  proof: Twice.\n", ":8:3: found the key `proof` again"),
    "no list of cases": (ENTRY.replace("[made/up]", "made/up"), ":3:10: found 'made/up', expected a list"),
    "no case": (ENTRY.replace("[made/up]", "[]"), ":3:10: found a list, expected a list of length >= 1"),
    "empty reason": (ENTRY.replace("Gamma is ignored.", '""'), ":6:11: found '', expected "),
    "variant": (
        ENTRY.replace("gamma ignored", "gamma ignord"),
        ":1:3: entry 'no gamma': `variants` names 'gamma ignord', which is no variant; did you mean 'gamma ignored'?",
    ),
    "quantity": (
        ENTRY.replace("[y]", "[y, dy]"),
        ":1:3: entry 'no gamma': `quantities` names 'dy', expected some of y, running_mean, running_var, dx, dgamma, ",
    ),
    "versions": (
        ENTRY + "  versions: since 0.8\n",
        ":1:3: entry 'no gamma': `versions` is 'since 0.8', expected a specifier such as '>=0.8,<1'",
    ),
    "no variants": (
        ENTRY.replace("  variants: [gamma ignored]\n", ""),
        ":1:3: entry 'no gamma': expected `quantities` and `variants`, or `raises` where it raises an error",
    ),
    "variants and an error": (
        ENTRY + "  raises: ValueError\n",
        ":1:3: entry 'no gamma': has both `raises` and `variants`; expected two entries, ",
    ),
    "message alone": (
        ENTRY + "  message: no rank 5\n",
        ":1:3: entry 'no gamma': `message` is part of an error's text; expected `raises`, its type",
    ),
    "partial wildcard": (
        ENTRY.replace("made/up", "made/u*"),
        ":1:3: entry 'no gamma': `cases`: case pattern 'made/u*': found the partial wildcard 'u*'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_one_message(tmp_path: Path, text: str, message: str) -> None:
    """The message names file, line and column, the field, what was found and what was expected."""
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(DeviationError, match="hint: ") as refusal:
        load_deviations([path])
    assert f"{path}{message}" in str(refusal.value)


def test_an_absent_file_is_one_message(tmp_path: Path) -> None:
    """A file that is not there is named, with the option that named it."""
    with pytest.raises(DeviationError, match=r"absent.yaml: recorded deviations cannot be read: No such .*\n.*--dev"):
        load_deviations([tmp_path / "absent.yaml"])


def test_a_name_stands_for_one_record(tmp_path: Path) -> None:
    """Two records of one name are refused, across files."""
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(ENTRY, "utf-8")
    with pytest.raises(DeviationError, match="two recorded deviations are named 'no gamma'"):
        load_deviations([tmp_path / "one.yaml", tmp_path / "two.yaml"])


def test_an_unknown_execution_is_one_message(tmp_path: Path) -> None:
    """A record of an execution that its implementation is not asked in is told with those that it is."""
    path = tmp_path / "mine.yaml"
    path.write_text(ENTRY.replace("fake", "keras-jax") + "  execution: jti\n", "utf-8")
    with pytest.raises(DeviationError) as refusal:
        load_deviations([path])
    assert (
        "recorded deviation 'no gamma': `execution` is 'jti', expected one in which keras-jax is asked: eager, jit"
        in str(refusal.value)
    )


def test_an_execution_of_somebody_elses_is_taken_at_its_word(tmp_path: Path) -> None:
    """Which executions an implementation has that no adapter here is of, its record alone knows."""
    path = tmp_path / "mine.yaml"
    path.write_text(ENTRY + "  execution: ahead-of-time\n", "utf-8")
    assert "ahead-of-time" == load_deviations([path])[-1].execution


def test_a_file_of_comments_records_nothing(tmp_path: Path) -> None:
    """An empty file, or one of comments, is no fault."""
    path = tmp_path / "mine.yaml"
    path.write_text("# nothing yet\n\n", "utf-8")
    assert load_deviations() == load_deviations([path])


def test_further_records_come_last(tmp_path: Path) -> None:
    """A third party's records are added to the suite's own."""
    path = tmp_path / "mine.yaml"
    path.write_text(ENTRY, "utf-8")
    (*own, mine) = load_deviations([path])
    assert load_deviations() == tuple(own)
    assert ("no gamma", "fake", ("gamma ignored",)) == (mine.name, mine.implementation, mine.variants)


# versions of the record, execution of the record, column: concerned?
COLUMNS = [
    ("", "", ("fake", "1.0", "eager"), True),
    ("", "", ("another", "1.0", "eager"), False),
    (">=1,<2", "", ("fake", "1.9.1", "eager"), True),
    (">=1,<2", "", ("fake", "2.0", "eager"), False),
    (">=1,<2", "", ("fake", "1.5.0rc1", "eager"), True),
    ("==2.13.0", "", ("fake", "2.13.0+cpu", "eager"), True),
    (">=1", "", ("fake", "R2024a", "eager"), False),
    ("", "", ("fake", "R2024a", "eager"), True),
    ("", "jit", ("fake", "1.0", "eager"), False),
    ("", "jit", ("fake", "1.0", "jit"), True),
]


@pytest.mark.parametrize(("versions", "execution", "column", "concerned"), COLUMNS, ids=[str(row) for row in COLUMNS])
def test_columns(
    record: Callable[..., Deviation], versions: str, execution: str, column: tuple[str, str, str], concerned: bool
) -> None:
    """A record concerns its implementation in the versions and the execution that it names, or in all."""
    assert concerned == record(versions=versions, execution=execution).concerns_implementation(*column)


def test_cases(record: Callable[..., Deviation]) -> None:
    """A record concerns the cases that any of its patterns covers."""
    made = record(cases=("made/up", "other/*"))
    assert [True, True, True, False] == [
        made.concerns_case(name) for name in ("made/up", "made/up[dtype=float32]", "other/one", "made/down")
    ]
