"""A cell's verdict is a test's outcome, and a failure says all that a reader needs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

Runs = Callable[..., Any]

# What training and evaluating are as tests.
OUTCOMES = {
    "Sound": ("PASSED", "PASSED"),
    "Population": ("XFAIL", "PASSED"),  # deviates
    "MomentumSwapped": ("FAILED", "PASSED"),  # differs
    "Stale": ("FAILED", "PASSED"),  # changed
    "Modest": ("PASSED", "FAILED"),  # changed
    "Lacks": ("PASSED", "SKIPPED"),  # unsupported
    "Dies": ("PASSED", "FAILED"),  # crashed
    "NeverReturns": ("PASSED", "FAILED"),  # crashed
    "Careless": ("ERROR", "ERROR"),  # void
}


def test_outcomes(run: Runs) -> None:
    """Agreement passes, a declared deviation xfails, what is unsupported skips, a void is an error, the rest fails."""
    adapters = [f"--adapter=third_party:{name}" for name in OUTCOMES]
    ended = run("cases/small.yaml", "-v", "--time-limit=1", "-k", "float32", *adapters)
    told = dict(re.findall(r"^cases/small.yaml::(\S+) ([A-Z]+)", ended.out, re.MULTILINE))
    seen = {
        name: tuple(told[f"{step}[dtype=float32]@third_party:{name}"] for step in ("train", "evaluate"))
        for name in OUTCOMES
    }
    assert OUTCOMES == seen
    assert "crashed: the implementation did not answer: no answer within the time limit of 1 s" in ended.out
    assert (1, True, 20) == (ended.code, ended.results.complete, len(ended.results.cells))
    assert (ended.folder / "index.html").is_file()


@pytest.mark.parametrize("adapter", ["Population", "Lacks"])
def test_what_is_declared_fails_no_run(run: Runs, adapter: str) -> None:
    """A run of deviations as declared, or of what is declared unsupported, exits 0."""
    assert 0 == run("cases", adapter=adapter).code


def test_junit(run: Runs, root: Path) -> None:
    """A JUnit file has a test for each cell, which says what it is in properties short enough to read."""
    run("cases/small.yaml", "--junitxml=junit.xml", "-k", "float32", adapter="MomentumSwapped")
    tests = ET.parse(root / "junit.xml").iter("testcase")  # noqa: S314 pytest has just written it
    told = [{one.get("name"): one.get("value") for one in test.iter("property")} for test in tests]
    swapped = [one for one in told if one["implementation"].startswith("MomentumSwapped")]
    assert [("small/train[dtype=float32]", "differs"), ("small/evaluate[dtype=float32]", "agrees")] == [
        (one["case"], one["verdict"]) for one in swapped
    ]
    assert "momentum swapped" in swapped[0]["why"]
    assert {"case", "implementation", "verdict"} == set(swapped[1])


def test_an_adapter_that_raises_at_import_is_an_error(run: Runs) -> None:
    """Cells of an adapter that cannot be imported are errors of one message; the results stay partial."""
    ended = run("cases", "--adapter=raises_at_import:Adapter")
    assert (1, {"passed": 4, "error": 4}) == (ended.code, ended.counts)
    assert "adapter raises_at_import:Adapter: import failed: OSError: libfancy.so" in ended.out
    assert "Traceback" not in ended.out
    assert not ended.results.complete


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_the_text_of_a_failure(run: Runs, workers: str) -> None:
    """A failure names case, fact, verdict and explanation, and the command that runs it again, which does."""
    ended = run("cases", workers, adapter="MomentumSwapped")
    lines = ended.out.splitlines()
    start = lines.index("small/train[dtype=float32] on third_party:MomentumSwapped")
    assert "A training forward normalises its batch and moves the state." == lines[start + 1]
    assert lines[start + 2].startswith("differs: running_mean (step 1), running_var (step 1): matches the variant 'mom")
    item = "cases/small.yaml::train[dtype=float32]@third_party:MomentumSwapped"
    assert f"again: pytest --adapter=third_party:MomentumSwapped '{item}'" == lines[start + 3]
    again = run(*shlex.split(lines[start + 3])[2:])
    assert (1, {"failed": 1}) == (again.code, again.counts)


def test_the_command_fits_where_pytest_was_started(run: Runs) -> None:
    """The command is for the folder that the first one was given in."""
    ended = run("../cases", adapter="MomentumSwapped", start="tests")
    (again, *_) = [line for line in ended.out.splitlines() if line.startswith("again: ")]
    assert "'../cases/small.yaml::train[dtype=float32]@third_party:MomentumSwapped'" in again
    assert {"failed": 1} == run(*shlex.split(again)[2:], start="tests").counts


def test_a_malformed_case_is_one_message(run: Runs) -> None:
    """A malformed file is an error of collection with file, line and column, and no traceback."""
    path = run("--collect-only", "-q").root / "cases" / "own.yaml"
    path.write_text("title: Own\ncases:\n  - name: one\n    epsilon: small\n", "utf-8")
    ended = run("cases")
    assert 2 == ended.code
    assert "cases/own.yaml:" in ended.out
    assert "Traceback" not in ended.out
    assert not ended.folder.exists()


REFUSALS = {
    "adapter": ("--adapter=torhc", "no adapter is named 'torhc'; did you mean torch"),
    "case": ("--case=nonsense", "case pattern 'nonsense' matches no case"),
    "deviations": ("--deviations=absent.yaml", "absent.yaml: recorded deviations cannot be read"),
    "time limit": ("--time-limit=0", "--time-limit is 0, expected a number of seconds above 0"),
}


@pytest.mark.parametrize(("option", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(run: Runs, option: str, message: str) -> None:
    """A fault of the command line is one message, pytest's exit code for usage, and nothing is run."""
    ended = run("cases", option)
    assert 4 == ended.code
    assert 1 == ended.out.count(message)
    assert "Traceback" not in ended.out
    assert not ended.folder.exists()


RECORD = """\
- name: rough at times
  implementation: {implementation}
  cases: ["{cases}"]
  quantities: [{quantities}]
  variants: [{variants}]
  reason: Its author read the other manual.
  proof: By hand.
"""


def test_a_record_excuses(run: Runs) -> None:
    """What a third party records of its implementation xfails."""
    _record(run, implementation="MomentumSwapped", cases="small/train", quantities="running_mean, running_var",
            variants="momentum swapped")  # fmt: skip
    ended = run("cases", "--deviations=mine.yaml", adapter="MomentumSwapped")
    assert (0, {"passed": 6, "xfailed": 2}) == (ended.code, ended.counts)


def test_a_record_that_nothing_uses_fails_the_run(run: Runs) -> None:
    """All cells pass, and the run fails for the record, which is told with its fix."""
    _record(run, implementation="Sound", cases="small/train[dtype=float64]", quantities="y",
            variants="computed in float32")  # fmt: skip
    ended = run("cases", "--deviations=mine.yaml", adapter="Sound")
    assert (1, {"passed": 8}) == (ended.code, ended.counts)
    assert "changed: recorded deviation 'rough at times': none of the 1 cells that it covers on Sound@1.0" in ended.out


def _record(run: Runs, **fields: str) -> None:
    root = run("tests", "-q").root
    (root / "mine.yaml").write_text(RECORD.format(**fields), "utf-8")
