"""``conformance explain``: a cell against every variant, and the questions that people ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance.adapters import registry
from conformance.cli.main import main
from conformance.corpus.case import Case
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.questions.answer import predicted, render
from conformance.questions.nearest import compared, words
from conformance.topics.table import topics
from conformance.trial.mutants import Mutant, observe
from conformance.verdict.oracle import Question

PROBE = "running_stats/probe[dtype=float32]"
TOPICS = {topic.name: topic for topic in topics()}
#: What the threads ask; each has a topic.
ASKED = {
    "state-not-assigned", "convergence", "gradients-after-convergence", "second-derivatives", "siamese", "frozen",
    "training-loss", "gradient-call", "momentum", "estimator", "updates", "statistics-never-move", "same-tensors",
    "batch-of-one", "masks", "axis", "exported-in-training-mode", "gradient-check",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> tuple[Case, ...]:
    return load_corpus()


def numbers(topic: str) -> dict[str, dict[str, str]]:
    return predicted(TOPICS[topic])


def test_every_question_has_a_topic() -> None:
    """The questions of the threads are answered, and no other."""
    assert ASKED == TOPICS.keys()


@pytest.mark.parametrize("name", TOPICS)
def test_topic_has_numbers_and_cases(name: str, corpus: tuple[Case, ...]) -> None:
    """All that a topic shows is a number that the oracle gives, and its pattern covers cases of the corpus."""
    table = numbers(name)
    for said, row in table.items():
        assert row.keys() == TOPICS[name].asked.under.keys(), said
        for number in row.values():
            float(number.partition(" ")[0])
    assert TOPICS[name].question in render(TOPICS[name], table)
    assert select(corpus, TOPICS[name].cases)


def test_estimators_of_1_3_5() -> None:
    """Of 1, 3, 5 the sample variance is 4, the population variance 8/3; a tenth of it beside 0.9 is kept."""
    (row,) = numbers("estimator").values()
    assert float(row["sample"]) == pytest.approx(0.9 + 0.4)
    assert float(row["population"]) == pytest.approx(0.9 + 0.8 / 3)


def test_recomputing_moves_the_state_once_or_twice() -> None:
    """After k moves the running mean is 3 (1 - 0.9^k): k is 3, or 4 where recomputation moves the state again."""
    *_, row = numbers("updates").values()
    assert float(row["moves once"]) == pytest.approx(3 * (1 - 0.9**3))
    assert float(row["moves again"]) == pytest.approx(3 * (1 - 0.9**4))


def test_gradient_of_a_sum_is_rounding() -> None:
    """Against all ones the gradient of training vanishes, that of evaluating does not."""
    train, random, evaluate = (row["oracle"] for row in numbers("gradient-check").values())
    assert "rounding" in train
    assert float(random) > 1
    assert float(evaluate) > 1


def test_the_floor_of_convergence() -> None:
    """With the sample variance the distance stops at about gamma^2 / (4 n^2), with the population one it does not."""
    _, after = numbers("convergence").values()
    assert float(after["population"]) < 1e-9
    assert 1e-3 < float(after["sample"]) < 0.1


def test_the_coded_second_derivative_is_rounding_in_train() -> None:
    """In evaluate the sum trick gives a second derivative, in train nothing."""
    evaluate, train = (row["oracle"] for row in numbers("second-derivatives").values())
    assert float(evaluate) > 1e-3
    assert float(train.partition(" ")[0]) < 1e-15


def test_frozen_class_c_trains_as_it_evaluates() -> None:
    """Only of class C the outputs of training and evaluating are the same."""
    *_, row = numbers("frozen").values()
    assert ["class C"] == [name for name, number in row.items() if number == "0"]


def test_topic_on_an_implementation(capsys: pytest.CaptureFixture[str]) -> None:
    """With --implementation the numbers are those of a run."""
    assert 0 == main(["explain", "estimator", "--implementation", "numpy"])
    assert "numpy  1.3\n" in capsys.readouterr().out


def test_topic_on_a_framework(capsys: pytest.CaptureFixture[str]) -> None:
    """PyTorch moves its state again when a checkpoint does the forward again, and refuses a batch of one."""
    if "torch" in (missing := registry.missing()):
        pytest.skip(f"torch is not installed: {missing['torch']}")
    assert 0 == main(["explain", "updates", "--implementation", "torch"])
    assert "torch  1.0317" in capsys.readouterr().out
    assert 0 == main(["explain", "batch-of-one", "--implementation", "torch"])
    assert "torch  raises ValueError" in capsys.readouterr().out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an argument the topics are listed."""
    assert 0 == main(["explain"])
    out = capsys.readouterr().out
    assert all(topic.question in out for topic in TOPICS.values())


@pytest.mark.parametrize(
    "name", ["state updated twice", "Bessel factor on the mean", "population running variance"]
)
def test_a_mutant_is_nearest_to_its_own_variant(name: str, corpus: tuple[Case, ...]) -> None:
    """Of the quantity that a variant changes, that variant is named first, and the declaration is far off."""
    question = Question(next(case for case in corpus if case.id == PROBE))
    mutant = Mutant(name)
    seen = observe(mutant, question)
    found = {one.key: one for one in compared(question, mutant.declared, seen.outcomes)}
    changed = [one for one in found.values() if one.near[0].name != "as declared"]
    assert changed
    for one in changed:
        assert name == one.near[0].name
        assert one.near[0].off <= 1
        assert next(near.off for near in one.near if near.name == "as declared") > 10


def test_a_network_is_explained_too(corpus: tuple[Case, ...]) -> None:
    """Of a network that moves its states twice that is the nearest, and the batch norm that is farthest off is told."""
    question = Question(next(case for case in corpus if case.id == "scenarios/networks/outputs[dtype=float32]"))
    mutant = Mutant("state updated twice")
    found = {one.key: one for one in compared(question, mutant.declared, observe(mutant, question).outcomes)}
    state = found[1, "running_mean"]
    assert "state updated twice" == state.near[0].name
    assert state.layer in (" (batch norm 1 of 2)", " (batch norm 2 of 2)")
    assert state.layer in words(state)
    assert "" == found[1, "y"].layer


def test_cell_from_a_run_and_from_its_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kept cell is explained by the same numbers as one that is asked now."""
    assert 0 == main(["explain", PROBE, "numpy"])
    live = capsys.readouterr().out
    assert 0 == main(["run", "--adapter", "numpy", "--case", PROBE, "--output", str(tmp_path), "--quiet"])
    capsys.readouterr()
    assert 0 == main(["explain", PROBE, "numpy", "--results", str(tmp_path)])
    assert live == capsys.readouterr().out
    assert "as declared" in live
    assert "state updated twice" in live


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["estimater"], "did you mean estimator"),
        ([PROBE], "on which implementation"),
        ([PROBE, "nobody"], "no adapter is named"),
        (["estimator", "--results", "nowhere"], "--results is of a case"),
    ],
    ids=["near", "case-alone", "no-adapter", "results-of-topic"],
)
def test_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input exits 2 with a message that says what is the matter."""
    assert 2 == main(["explain", *arguments])
    assert said in capsys.readouterr().err


def test_a_large_number_is_no_rounding() -> None:
    """The note that a number is rounding is for numbers near zero only."""
    for name in TOPICS:
        for row in numbers(name).values():
            assert all(abs(float(n.split(" ")[0])) < 1e-10 for n in row.values() if "rounding" in n)
    assert np.isfinite(float(numbers("masks")["mean of 1, 3, 5, 7"]["oracle"]))
