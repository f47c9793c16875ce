"""``conformance run`` with records of deviations: what they excuse, and what they are held to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runs = Callable[..., Any]


RECORD = """\
- name: {name}
  implementation: {implementation}
  cases: ["{cases}"]
  quantities: [{quantities}]
  variants: [{variants}]
  reason: Its author read the other manual.
  proof: By hand.
"""


SWAPPED = {
    "name": "swapped", "implementation": "MomentumSwapped", "cases": "small/train[*]",
    "quantities": "running_mean, running_var", "variants": "momentum swapped",
}  # fmt: skip


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., str]:
    """Return a maker of the option that names a file with one record."""

    def make(**changes: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(RECORD.format(**{**SWAPPED, **changes}), "utf-8")
        return f"--deviations={path}"

    return make


def test_a_record_is_an_excuse(run: Runs, records: Callable[..., str]) -> None:
    """What is recorded deviates, for the reason recorded, and exits 0."""
    ended = run(records(), adapter="MomentumSwapped")
    assert (0, "") == (ended.code, ended.err)
    assert "deviates" == ended.verdicts("MomentumSwapped")["train[dtype=float32]"]
    assert any("Its author read the other manual." in cell.explanation for cell in ended.results.cells)


def test_a_record_of_what_was_mended(run: Runs, records: Callable[..., str]) -> None:
    """A record of what is right now is changed, and exits 1."""
    ended = run(records(implementation="Sound"), adapter="Sound")
    assert 1 == ended.code
    assert "changed" == ended.verdicts("Sound")["train[dtype=float32]"]


def test_a_record_of_another_mistake(run: Runs, records: Callable[..., str]) -> None:
    """Deviating otherwise than recorded is changed, and exits 1."""
    ended = run(records(variants="state never updated"), adapter="MomentumSwapped")
    assert 1 == ended.code
    assert "changed" == ended.verdicts("MomentumSwapped")["train[dtype=float32]"]


def test_a_record_that_nothing_uses(run: Runs, records: Callable[..., str]) -> None:
    """A record of poor rounding where the rounding is good is told after the run, with exit code 1."""
    stale = records(implementation="Sound", variants="computed in float32", cases="small/train[dtype=float64]")
    ended = run(stale, adapter="Sound")
    assert 1 == ended.code
    assert "conformance run: changed: recorded deviation 'swapped': none of the 1 cells" in ended.err
    assert 0 == run(stale, "--case=small/evaluate", adapter="Sound").code


def test_a_record_that_covers_too_much(run: Runs, records: Callable[..., str]) -> None:
    """A record of cases in which it makes no difference is refused before the run, with its fix."""
    ended = run(records(cases="small/*"), adapter="MomentumSwapped")
    assert 2 == ended.code
    assert "the pattern 'small/*' covers small/evaluate[dtype=float32] and 1 more" in ended.err
    assert "    - small/train[dtype=float32]\n    - small/train[dtype=float64]\n" in ended.err
    assert not ended.folder.exists()


def test_a_record_of_nobody(run: Runs, records: Callable[..., str]) -> None:
    """A record of an implementation that does not exist is told after the run, with exit code 1."""
    ended = run(records(implementation="MomentumSwaped"), "--case=small/evaluate", adapter="MomentumSwapped")
    assert 1 == ended.code
    assert "recorded deviation 'swapped' is of 'MomentumSwaped', which is no implementation" in ended.err
