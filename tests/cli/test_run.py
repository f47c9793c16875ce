"""``conformance run``: exit codes, messages and files, for sound implementations and for all sorts of others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.corpus.at_hand import AtHand
from conformance.definition.consulted import changed
from conformance.verdict import oracle
from conformance.verdict.oracle import Question

TESTS = Path(__file__).parents[1]
Runs = Callable[..., Any]

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
        oracle, "simulate",
        lambda case, arrays, rules, until: simulate(case, arrays, changed(rules, epsilon="missing"), until=until),
    )  # fmt: skip
    monkeypatch.setattr("conformance.engine.cell.question_of", AtHand(Question, lambda _: 1, 1000))
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
