"""A layer carried from any implementation to any other, by one proof for every ordered pair of those installed.

Each is asked the case of a conversion once; a pair is proved by what both have answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import permutations

import pytest

from conformance.adapters import registry
from conformance.adapters.naming import NAMINGS, naming_of
from conformance.cli.asking import answered, started
from conformance.convert.prove import Proof, case_of, prove
from conformance.convert.recipe import recipe
from conformance.host.observation import Observation
from conformance.modelled.systems import MODELS
from conformance.verdict.oracle import Question

#: Implementations that a layer can be carried to, in every execution; those that cannot be trained are told as such.
ADAPTERS = [name for name in registry.BUILT_IN if naming_of(name) is not None]
UNTRAINED = {"onnx-reference-9"}
#: What is asked where a side takes no other: images of one position.
SHAPES = ("", "x1x1")

Answers = dict[tuple[str, str], Observation]


def question(spatial: str) -> Question:
    """Return the case of any pair with a weight of 0.25 of the batch, an epsilon of 1e-3, 4 channels of 6 values."""
    either = ("torch", NAMINGS["torch"])
    made = recipe(either, either, momentum=0.25, epsilon=1e-3, channels=4, n=6, dialects=None)
    return Question(case_of(made, spatial))


def proved(source: str, target: str, answers: Answers, questions: dict[str, Question]) -> list[Proof]:
    """Return what is proved of a pair; nothing where no shape is taken by both."""
    for spatial in SHAPES:
        sides = [answers[name, spatial] for name in (source, target)]
        if all(side.unsupported is None for side in sides):
            return list(prove(questions[spatial], *sides))
    return []


def unproved(names: list[str], answers: Answers, questions: dict[str, Question]) -> Iterator[str]:
    """Yield each pair of which not all fifteen quantities are as predicted."""
    for source, target in permutations(names, 2):
        proofs = proved(source, target, answers, questions)
        wrong = [f"{one.name} of step {one.step}, {one.apart:.3g} apart" for one in proofs if not one.fits]
        if wrong or len(proofs) != 15:
            yield f"{source} to {target}: {', '.join(wrong) or f'{len(proofs)} quantities'}"


@pytest.mark.xdist_group("every pair")
def test_every_pair_is_proved() -> None:
    """Every ordered pair of what is installed, and of what is modelled, answers as predicted before and after."""
    questions, answers = {spatial: question(spatial) for spatial in SHAPES}, {}
    for name in (installed := [name for name in ADAPTERS if name not in registry.missing()]):
        with closing(started(name)) as session:
            answers |= {(name, spatial): answered(one.case, session) for spatial, one in questions.items()}
    for name, model in MODELS.items():
        answers |= {(name, spatial): model.observe(one.case) for spatial, one in questions.items()}
    lacking = {name for name in installed if all(answers[name, one].unsupported for one in SHAPES)}
    assert {*installed} & UNTRAINED == lacking
    names = [name for name in (*installed, *MODELS) if name not in lacking]
    assert [] == list(unproved(names, answers, questions))


def test_pair_that_parts_otherwise_is_told() -> None:
    """A side whose state is off by a thousandth is told in every pair that it is of."""
    questions = {spatial: question(spatial) for spatial in SHAPES}
    answers = {(name, one): MODELS[name].observe(questions[one].case) for name in ("flux", "lux") for one in SHAPES}
    honest = answers["lux", ""]
    moved = {key: value * 1.001 if key == (3, "running_var") else value for key, value in honest.outcomes.items()}
    answers["lux", ""] = Observation(dialect=honest.dialect, outcomes=moved)
    said = list(unproved(["flux", "lux"], answers, questions))
    assert ["flux to lux", "lux to flux"] == [one.partition(":")[0] for one in said]
    assert all("running_var of step 3" in one for one in said)
