"""``conformance run``: exit codes, messages and files, for sound implementations and for all sorts of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.cli.main import main
from conformance.definition.variants import apply
from conformance.results.read import Results, read_results
from conformance.verdict import oracle

TESTS = Path(__file__).parents[1]
CORPUS = TESTS / "fakes" / "corpus"


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, what it said, and the folder that it wrote."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def results(self) -> Results:
        return read_results(self.folder)

    @property
    def has_report(self) -> bool:
        return (self.folder / "index.html").is_file()

    def verdicts(self, name: str) -> dict[str, str]:
        """Return the verdict of each case, by the part of its id in front of the variation."""
        return {
            cell.case.removeprefix("small/"): cell.verdict
            for cell in self.results.cells
            if cell.implementation.partition("@")[0] == name
        }


Runs = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runs:
    """Return the command on the small corpus; adapters are looked for among the fakes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS / "fakes"), str(TESTS / "host")]))

    def command(*arguments: str, adapter: str = "", corpus: Path | None = CORPUS) -> Ended:
        adapters = [f"--adapter=third_party:{adapter}"] if adapter else []
        cases = [f"--cases={corpus}"] if corpus is not None else []
        try:
            code = main(["run", *adapters, *cases, f"--output={tmp_path / 'out'}", "--quiet", *arguments])
        except SystemExit as error:  # argparse's
            code = int(error.code or 0)
        return Ended(code, *capsys.readouterr(), tmp_path / "out")

    return command


EVERYWHERE = ("train[dtype=float32]", "train[dtype=float64]", "evaluate[dtype=float32]", "evaluate[dtype=float64]")


def test_agreement(run: Runs) -> None:
    """A sound implementation exits 0, and the last lines say where results and report are."""
    ended = run(adapter="Sound")
    assert (0, "") == (ended.code, ended.err)
    assert dict.fromkeys(EVERYWHERE, "agrees") == ended.verdicts("Sound") == ended.verdicts("numpy")
    assert f"results: {ended.folder}/results.jsonl\nreport:  {ended.folder}/index.html\n" in ended.out
    assert ended.results.complete
    assert ended.has_report


def test_momentum_swapped(run: Runs) -> None:
    """A third party's adapter with the momentum swapped differs, is told so by name, and exits 1."""
    ended = run(adapter="MomentumSwapped")
    assert 1 == ended.code
    assert {"train[dtype=float32]": "differs", "evaluate[dtype=float32]": "agrees"}.items() <= ended.verdicts(
        "MomentumSwapped"
    ).items()
    (cell, *_) = [cell for cell in ended.results.cells if cell.verdict == "differs"]
    assert {"momentum swapped"} == {row.variant for row in cell.quantities if row.verdict == "differs"}
    assert "matches the variant 'momentum swapped'" in cell.explanation
    assert "momentum swapped" in (ended.folder / "index.html").read_text("utf-8")


# the adapter, the verdict on training and on evaluating, the exit code, part of the explanation
FAKES = [
    ("Population", "deviates", "agrees", 0, "as the dialect declares"),
    ("Stale", "changed", "agrees", 1, "agrees with the reference: the declaration is stale"),
    ("Lacks", "agrees", "unsupported", 0, "it only trains"),
    ("Modest", "agrees", "changed", 1, "declared unsupported (it only trains), and yet it answers as expected"),
    ("Dies", "agrees", "crashed", 1, "the implementation took its host down: the host ended with exit status 7"),
    ("Careless", "void", "void", 3, "dialect_for failed: KeyError: 'dialect'"),
]


@pytest.mark.parametrize(("adapter", "train", "evaluate", "code", "why"), FAKES, ids=[fake[0] for fake in FAKES])
def test_fakes(run: Runs, adapter: str, train: str, evaluate: str, code: int, why: str) -> None:
    """Each kind of implementation gets its verdicts and exit code; all its cells are there, the canary's too."""
    ended = run(adapter=adapter)
    found = ended.verdicts(adapter)
    assert [train, train, evaluate, evaluate] == [found[case] for case in EVERYWHERE]
    assert code == ended.code
    assert any(why in cell.explanation for cell in ended.results.cells)
    assert dict.fromkeys(EVERYWHERE, "agrees") == ended.verdicts("numpy")
    assert ended.results.complete
    assert ended.has_report


def test_one_that_never_returns(run: Runs) -> None:
    """An implementation that hangs is stopped at the time limit, case by case; the others are complete."""
    ended = run("--time-limit=1", "--workers=2", adapter="NeverReturns")
    found = ended.verdicts("NeverReturns")
    assert ["agrees", "agrees", "crashed", "crashed"] == [found[case] for case in EVERYWHERE]
    assert 1 == ended.code
    assert any("no answer within the time limit of 1 s" in cell.explanation for cell in ended.results.cells)


@pytest.mark.parametrize("workers", [1, 3])
def test_one_that_raises_at_import(run: Runs, workers: int) -> None:
    """An adapter that cannot be imported is one message and exit code 2; the others are complete."""
    ended = run("--adapter=raises_at_import:Adapter", f"--workers={workers}", adapter="Sound")
    assert 2 == ended.code
    assert 1 == ended.err.count("conformance run: ")
    assert "adapter raises_at_import:Adapter: import failed: OSError: libfancy.so" in ended.err
    assert dict.fromkeys(EVERYWHERE, "agrees") == ended.verdicts("Sound") == ended.verdicts("numpy")
    assert not ended.results.complete
    assert "PARTIAL" in ended.out


def test_one_that_exits_at_import(run: Runs) -> None:
    """An adapter that ends its process while it is imported is told likewise."""
    ended = run("--adapter=exits_at_import:Adapter")
    assert 2 == ended.code
    assert "adapter exits_at_import:Adapter: the host does not start: the host ended with exit status 3" in ended.err


def test_in_process(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hosts the same verdicts are reached."""
    monkeypatch.syspath_prepend(str(TESTS / "fakes"))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    ended = run("--in-process", adapter="MomentumSwapped")
    assert 1 == ended.code
    assert "differs" == ended.verdicts("MomentumSwapped")["train[dtype=float32]"]


def test_a_canary_that_differs(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the oracle's own formulas are not confirmed there is no report; results are kept; exit code 3."""
    simulate = oracle.simulate
    monkeypatch.setattr(
        oracle, "simulate", lambda case, arrays, rules: simulate(case, arrays, apply(["epsilon missing"], rules))
    )
    monkeypatch.setattr("conformance.engine.cell._questions", {})
    ended = run(adapter="Sound")
    assert 3 == ended.code
    assert "conformance run: the canary numpy@" in ended.err
    assert "no report is written; results are kept" in ended.err
    assert not ended.has_report
    assert 8 == len(ended.results.cells)


def test_a_selection(run: Runs) -> None:
    """A pattern selects cases, and the results say that they are a part."""
    ended = run("--case=small/train", "--case=*/evaluate[dtype=float64]", adapter="Sound")
    assert 0 == ended.code
    assert set(EVERYWHERE) - {"evaluate[dtype=float32]"} == ended.verdicts("Sound").keys()
    assert "small/train */evaluate[dtype=float64]" == ended.results.run.selection
    assert "A part of the corpus only" in ended.out


# arguments; what the one message says
REFUSALS = {
    "adapter": (["--adapter=torhc"], "no adapter is named 'torhc'; did you mean torch"),
    "case": (["--case=nonsense"], "case pattern 'nonsense' matches no case"),
    "file for a case": (["--case=small"], "hint: for the whole file write small/*"),
    "partial wildcard": (["--case=small/tr*"], "found the partial wildcard 'tr*'"),
    "workers": (["--workers=0"], "--workers is 0, expected at least 1"),
    "time limit": (["--time-limit=0"], "--time-limit is 0, expected a number of seconds above 0"),
    "time limit NaN": (["--time-limit=nan"], "--time-limit is nan, expected a number of seconds above 0"),
    "time limit infinite": (["--time-limit=inf"], "--time-limit is inf, expected a number of seconds above 0"),
    "memory limit": (["--memory-limit=0"], "--memory-limit is 0, expected a number of GiB above 0"),
    "no number": (["--workers=two"], "argument --workers: invalid int value: 'two'"),
    "device": (["--device=tpu"], "argument --device: invalid choice: 'tpu'"),
    "option": (["--adaptor=torch"], "unrecognized arguments: --adaptor=torch"),
    "cases": (["--cases=no/such/folder"], "no/such/folder: found no such folder, expected the case files there"),
    "deviations": (["--deviations=absent.yaml"], "absent.yaml: recorded deviations cannot be read: No such file"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(run: Runs, arguments: list[str], message: str) -> None:
    """A fault of the command line is one message and exit code 2, before anything is run or written."""
    ended = run(*arguments)
    assert (2, "") == (ended.code, ended.out)
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert not ended.folder.exists()


def test_a_malformed_case(run: Runs, tmp_path: Path) -> None:
    """A malformed case is one message with file, line and column, and nothing is run."""
    root = tmp_path / "cases"
    root.mkdir()
    (root / "own.yaml").write_text("title: Own\ncases:\n  - name: one\n    epsilon: small\n", "utf-8")
    ended = run(corpus=root)
    assert 2 == ended.code
    assert ended.err.startswith("conformance run: cases/own.yaml:")
    assert "Traceback" not in ended.err
    assert not ended.folder.exists()


def test_a_folder_that_cannot_be_written(run: Runs, tmp_path: Path) -> None:
    """An output folder that is a file is one message and exit code 2."""
    (tmp_path / "file").write_text("", "utf-8")
    ended = run(f"--output={tmp_path / 'file'}")
    assert 2 == ended.code
    assert "file/results.jsonl: cannot write results: " in ended.err
    assert "Traceback" not in ended.err


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


def test_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C ends the run at once, though an implementation hangs; finished cells are kept and readable."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "fakes")}
    command = [
        sys.executable, "-m", "conformance", "run", "--adapter=third_party:NeverReturns", f"--cases={CORPUS}",
        f"--output={tmp_path}", "--workers=2",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_cells(tmp_path, 6)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert (130, True) == (process.returncode, time.monotonic() - asked < 15)
    assert "conformance run: interrupted; finished cells are kept" in told
    assert "Traceback" not in told
    results = read_results(tmp_path)
    assert (6, False) == (len(results.cells), results.complete)
    assert ["results.jsonl"] == [path.name for path in tmp_path.iterdir()]


def _wait_for_cells(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "results.jsonl").exists() and len(read_results(folder).cells) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"no {count} cells within a minute")


TAGGED = """\
title: T
cases:
  - name: usual
    fact: The mean of the batch is subtracted.
    clauses: ["1.1"]
    steps: [{train: a}]
  - name: unusual
    fact: The variance of the batch is divided by.
    clauses: ["1.1"]
    tags: [slow]
    steps: [{train: b}]
"""


@pytest.mark.parametrize(("options", "cases"), [([], ["usual"]), (["--tag=slow"], ["usual", "unusual"])])
def test_tagged_cases_are_run_where_asked_for(run: Runs, tmp_path: Path, options: list[str], cases: list[str]) -> None:
    """The default set is the cases without a tag; ``--tag`` adds those that have it."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(TAGGED, encoding="utf-8")
    ended = run(*options, "--adapter=numpy", corpus=own)
    assert 0 == ended.code, ended.err
    assert [f"mine/{name}" for name in cases] == [cell.case for cell in ended.results.cells]
