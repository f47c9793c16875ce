"""``conformance run --resume``: goes on where a run was ended, and refuses what would make it another run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.cli.main import main
from conformance.results.read import RESULTS_NAME, read_results
from conformance.trial.kills import content, trial

TESTS = Path(__file__).parents[1]
CORPUS = TESTS / "fakes" / "corpus"
HONEST = "conformance.trial.honest:HonestAdapter"
ASKED = (f"--adapter={HONEST}", f"--cases={CORPUS}", "--quiet", "--workers=2")
Runs = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Return the command; it gives the exit code and what was said on standard error."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")]))

    def command(*arguments: object) -> tuple[int, str]:
        code = main(["run", *map(str, arguments)])
        return code, capsys.readouterr().err

    return command


@pytest.fixture
def torn(run: Runs, tmp_path: Path) -> Path:
    """Return the folder of a run of eight cells of which three and a half were written."""
    assert (0, "") == run(*ASKED, f"--output={tmp_path / 'torn'}")
    file = tmp_path / "torn" / RESULTS_NAME
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:4]) + lines[4][:40])
    return tmp_path / "torn"


def test_a_few_kills() -> None:
    """Controllers and hosts killed at random moments cost no cell, and resumed runs end as undisturbed ones."""
    assert 4 <= len(list(trial(4, seed=7)))


@pytest.mark.parametrize("again", [(), ASKED], ids=["options read back", "options given again"])
def test_a_torn_file_is_completed(run: Runs, torn: Path, tmp_path: Path, again: tuple[str, ...]) -> None:
    """A run goes on with what was asked for; the cells that were there stay as they were, byte for byte."""
    kept = (torn / RESULTS_NAME).read_bytes().splitlines(keepends=True)[1:4]
    assert (0, "") == run(*again, "--resume", torn, "--quiet")
    assert (0, "") == run(*ASKED, f"--output={tmp_path / 'whole'}")
    assert content(read_results(tmp_path / "whole")) == content(read_results(torn))
    assert kept == (torn / RESULTS_NAME).read_bytes().splitlines(keepends=True)[1:4]
    assert (torn / "index.html").is_file()


def test_a_complete_run_is_left_as_it_is(run: Runs, torn: Path) -> None:
    """Resuming what is complete asks nothing, and writes the report."""
    run("--resume", torn, "--quiet")
    before = (torn / RESULTS_NAME).read_bytes()
    (torn / "index.html").unlink()
    assert (0, "") == run("--resume", torn, "--quiet")
    assert before == (torn / RESULTS_NAME).read_bytes()
    assert (torn / "index.html").is_file()


def test_a_run_that_never_began_begins(run: Runs, tmp_path: Path) -> None:
    """With ``--output`` and ``--resume`` a run begins where nothing is there: a script can repeat one command."""
    assert (0, "") == run(*ASKED, f"--output={tmp_path / 'new'}", "--resume")
    assert read_results(tmp_path / "new").complete


# what is given beside --resume, and what the refusal says
REFUSALS = {
    "another adapter": (["--adapter=torch"], "--adapter is ['torch'], and the run in "),
    "another case": (["--case=small/train"], "was asked with --case left out"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSALS.values(), ids=REFUSALS.keys())
def test_other_options_are_refused(run: Runs, torn: Path, arguments: list[str], said: str) -> None:
    """Options that say otherwise than the run are one message and exit code 2, and the file stays as it is."""
    before = (torn / RESULTS_NAME).read_bytes()
    code, told = run(*arguments, "--resume", torn)
    assert 2 == code
    assert said in told
    assert before == (torn / RESULTS_NAME).read_bytes()


def test_a_folder_without_a_run_is_refused(run: Runs, tmp_path: Path) -> None:
    """A folder that is named and holds no results is one message."""
    code, told = run("--resume", tmp_path)
    assert (2, True) == (code, "no run has left results in" in told)


def test_another_corpus_is_refused(run: Runs, torn: Path, tmp_path: Path) -> None:
    """A run whose cases have changed since is not gone on with."""
    row = (torn / RESULTS_NAME).read_text("utf-8")
    (torn / RESULTS_NAME).write_text(row.replace('"cases_digest":"', '"cases_digest":"0', 1), "utf-8")
    code, told = run("--resume", torn)
    assert (2, True) == (code, "the corpus is not what the run began with" in told)


def test_another_version_is_refused(run: Runs, torn: Path) -> None:
    """An implementation of another version than the run began with gets no cell; the others are complete."""
    text = (torn / RESULTS_NAME).read_text("utf-8")
    (torn / RESULTS_NAME).write_text(text.replace("honest@", "honest@0."), "utf-8")
    code, told = run("--resume", torn, "--quiet")
    assert (2, True) == (code, "the run began with honest@0." in told)
    results = read_results(torn)
    assert (4, False) == (sum(cell.implementation.startswith("numpy@") for cell in results.cells), results.complete)


def test_two_runs_in_one_folder_are_refused(run: Runs, torn: Path) -> None:
    """While a run writes to a folder another one is refused there."""
    descriptor = os.open(torn, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        code, told = run("--resume", torn)
    finally:
        os.close(descriptor)
    assert (2, True) == (code, "another run writes to this folder" in told)


# bytes that a file may have, what cannot be written then
FULL = {"not a row": (1, "results"), "the cells": (0.9, "results"), "the report": (2, "the report")}


@pytest.mark.parametrize(("room", "what"), FULL.values(), ids=FULL.keys())
def test_a_full_disk(tmp_path: Path, run: Runs, room: float, what: str) -> None:
    """Where no more can be written a run ends with one message and exit code 2; with room it is resumed."""
    assert (0, "") == run(*ASKED, f"--output={tmp_path / 'whole'}")
    most = 1 if room == 1 else int(room * (tmp_path / "whole" / RESULTS_NAME).stat().st_size)
    command = [sys.executable, "-m", "conformance", "run", *ASKED, "--output", str(tmp_path / "full")]
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))"
    limited = f"import resource, os; {limit}; os.execv({command[0]!r}, {command!r})"
    ended = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert 2 == ended.returncode, ended.stderr
    assert f"cannot write {what}: File too large" in ended.stderr
    assert what == "the report" or "with room --resume goes on from them" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert {path.name for path in (tmp_path / "full").iterdir()} <= {RESULTS_NAME}
    if (tmp_path / "full" / RESULTS_NAME).exists():
        read_results(tmp_path / "full")
    assert (0, "") == run(*ASKED, f"--output={tmp_path / 'full'}", "--resume")
    assert read_results(tmp_path / "full").complete


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(run: Runs, tmp_path: Path) -> None:
    """A folder without the right to write is one message and exit code 2."""
    tmp_path.chmod(0o500)
    code, told = run(*ASKED, f"--output={tmp_path / 'inside'}")
    tmp_path.chmod(0o700)
    assert (2, True) == (code, "Permission denied" in told)


def test_any_number_of_workers_finds_the_same(run: Runs, tmp_path: Path) -> None:
    """One worker and three write the same content: inputs, verdicts and numbers do not hang on who asks when."""
    for workers in (1, 3):
        asked = [option for option in ASKED if not option.startswith("--workers")]
        assert (0, "") == run(*asked, f"--workers={workers}", f"--output={tmp_path / str(workers)}")
    assert content(read_results(tmp_path / "1")) == content(read_results(tmp_path / "3"))
