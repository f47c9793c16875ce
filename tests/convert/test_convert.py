"""``conformance convert``: recipes, what is lost, and the proof by a run on both sides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from conformance.adapters import registry
from conformance.adapters.naming import NAMINGS
from conformance.adapters.registry import find, load
from conformance.cli.main import main
from conformance.convert.prove import case_of, prove
from conformance.convert.recipe import recipe
from conformance.definition.dialect import Dialect
from conformance.definition.rules import Rules
from conformance.definition.variants import VARIANTS
from conformance.trial.mutants import Mutant, observe
from conformance.verdict.oracle import Question

DEFAULTS = """
import dataclasses, importlib, inspect, json, sys
module, _, kind = sys.argv[1].rpartition(".")
made = getattr(importlib.import_module(module), kind)
given = inspect.signature(made if dataclasses.is_dataclass(made) else made.__init__).parameters
found = [given[name].default for name in sys.argv[2:]]
print(json.dumps([None if one is inspect.Parameter.empty else one for one in found]))
"""


def pair(source: str, target: str) -> tuple[Any, Any]:
    return (source, NAMINGS[source]), (target, NAMINGS[target])


@pytest.mark.parametrize("source", NAMINGS)
@pytest.mark.parametrize("target", ["torch", "keras-tensorflow", "onnxruntime"])
def test_there_and_back_is_the_same_weight(source: str, target: str) -> None:
    """A momentum carried over and back weighs the new batch as before."""
    there = recipe(*pair(source, target), momentum=0.25, dialects=None)
    given = there.momentum if NAMINGS[target].momentum_weighs == "new" else 1 - there.momentum
    back = recipe(*pair(target, source), momentum=given, dialects=None)
    assert there.momentum == pytest.approx(back.momentum)


def test_conventions_are_told() -> None:
    """PyTorch's 0.1 is Keras' 0.9, and the line says so."""
    made = recipe(*pair("torch", "keras-tensorflow"), dialects=None)
    assert 0.1 == made.momentum
    assert any("momentum=0.9" in line and "epsilon=1e-05" in line for line in made.lines)
    assert any("momentum=0.1 -> momentum=0.9, which is 1 minus it" in line for line in made.lines)


def test_effect_of_the_estimator() -> None:
    """With 5 values per channel sample and population variance are a quarter apart."""
    dialects = Dialect(running_variance="sample"), Dialect(running_variance="population")
    (lost,) = recipe(*pair("torch", "keras-tensorflow"), n=5, dialects=dialects).lost
    assert "25 % apart" in lost


@pytest.mark.parametrize(("name", "adapter"), [
    ("torch.nn.BatchNorm2d", "torch"), ("keras.layers.BatchNormalization", "keras-tensorflow"),
    ("flax.linen.BatchNorm", "flax-linen"), ("flax.nnx.BatchNorm", "flax-nnx"), ("equinox.nn.BatchNorm", "equinox-ema"),
    ("haiku.BatchNorm", "haiku"), ("tinygrad.nn.BatchNorm", "tinygrad"), ("mlx.nn.BatchNorm", "mlx"),
    ("paddle.nn.BatchNorm2D", "paddle"),
])  # fmt: skip
def test_defaults_are_those_of_the_constructor(name: str, adapter: str) -> None:
    """The arguments that are written down are the constructor's, with its defaults."""
    if adapter in (missing := registry.missing()):
        pytest.skip(f"{adapter} is not installed: {missing[adapter]}")
    naming = NAMINGS[adapter]
    assert name == naming.constructor
    told = subprocess.run(  # frameworks do not all bear one another in one process
        [sys.executable, "-c", DEFAULTS, name, naming.momentum, naming.epsilon], capture_output=True, text=True,
        check=False, env={**os.environ, "KERAS_BACKEND": "tensorflow", "DEV": "CPU"},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-1000:]
    assert [naming.momentum_default, naming.epsilon_default] == json.loads(told.stdout.splitlines()[-1])


def test_both_sides_are_held_to_their_predictions() -> None:
    """A side that does what its dialect does not predict is told, quantity by quantity."""
    question = Question(case_of(recipe(*pair("numpy", "torch"), dialects=None)))
    honest = observe(load(find("numpy")), question)
    assert all(proof.fits for proof in prove(question, honest, honest))
    assert {0.0} == {proof.apart for proof in prove(question, honest, honest)}
    wrong = observe(Mutant("state updated twice"), question)
    failing = {proof.name for proof in prove(question, honest, wrong) if not proof.fits}
    assert {"running_mean", "running_var", "y"} == failing


def test_sides_part_as_far_as_their_estimators_make_them() -> None:
    """Two estimators part after the first step by what is predicted of them, and not before."""
    question = Question(case_of(recipe(*pair("numpy", "torch"), n=5, dialects=None)))
    adapter = Mutant("population running variance")
    adapter.declared = VARIANTS["population running variance"].applied_to(Rules(dialect=adapter.declared)).dialect
    proofs = [
        one for one in prove(question, observe(load(find("numpy")), question), observe(adapter, question))
        if one.name == "running_var"
    ]  # fmt: skip
    assert [0.0] == [one.predicted for one in proofs if one.step == 1]
    for one in proofs[1:]:
        assert one.fits
        assert one.predicted > 0.01
        assert one.apart == pytest.approx(one.predicted, rel=1e-4)


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints recipe, losses and proof."""
    if "torch" in (missing := registry.missing()):
        pytest.skip(f"torch is not installed: {missing['torch']}")
    assert 0 == main(["convert", "numpy", "torch", "--momentum", "0.3", "--epsilon", "1e-4", "--channels", "4"])
    out = capsys.readouterr().out
    assert "torch.nn.BatchNorm2d(4, momentum=0.3, eps=0.0001)" in out
    assert "as predicted" in out
    assert "NOT" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["numpy", "nobody"], "no adapter is named"),
        (["numpy", "stax"], "there is no state to carry"),
        (["numpy", "numpy", "--momentum", "1.5"], "expected 0 to 1"),
        (["numpy", "numpy", "--epsilon", "0"], "expected more than 0"),
        (["numpy", "numpy", "--values", "1"], "expected at least 2"),
    ],
    ids=["unknown", "no-names", "momentum", "epsilon", "values"],
)
def test_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input exits 2 with a message that says what is the matter."""
    assert 2 == main(["convert", *arguments])
    assert said in capsys.readouterr().err
