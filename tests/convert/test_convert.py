"""``conformance convert``: recipes, what is lost, and the proof by a run on both sides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
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
found = [given[name].default for name in sys.argv[3:]]
if sys.argv[2]:
    eval(sys.argv[2], {module.partition(".")[0]: sys.modules[module.partition(".")[0]]})
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


#: By the command; ``test_every_pair`` proves all pairs.
PAIRS = [
    ("torch", "keras-tensorflow"), ("keras-tensorflow", "flax-linen"), ("haiku", "equinox-batch"),
    ("torch", "onnxruntime"), ("tensorflow-fused", "tensorflow-nn"), ("torch", "mxnet"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), PAIRS, ids="-to-".join)
def test_pair_is_proved(source: str, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Both sides, run over several steps with a momentum and an epsilon of their own, answer as predicted."""
    missing = registry.missing()
    if absent := {source, target} & missing.keys():
        name = min(absent)
        pytest.skip(f"{name} is not installed: {missing[name]}")
    given = ["--momentum", "0.75", "--epsilon", "1e-3", "--channels", "4", "--values", "6"]
    assert 0 == main(["convert", source, target, *given, "--prove"])
    out = capsys.readouterr().out
    assert 15 == out.count("as predicted")
    assert "NOT" not in out


def test_axis_is_told_where_the_defaults_differ() -> None:
    """PyTorch's channels are second: Keras, which looks on the last axis, is told so, and moves nothing."""
    made = recipe(*pair("torch", "keras-tensorflow"), dialects=None)
    assert any(line.startswith("to ") and "axis=1" in line for line in made.lines)
    back = recipe(*pair("keras-tensorflow", "torch"), dialects=None)
    assert any("has the channels on axis -1 by default" in line and "move that axis" in line for line in back.lines)


def test_shapes_are_told_where_they_differ() -> None:
    """Haiku keeps its parameters with axes of length one."""
    made = recipe(*pair("torch", "haiku"), dialects=None)
    assert any(line.startswith("shapes ") and "(1, ..., channels)" in line for line in made.lines)
    assert not any(line.startswith("shapes ") for line in recipe(*pair("torch", "paddle"), dialects=None).lines)


@pytest.mark.parametrize("model", ["matlab", "flux", "lux"])
def test_modelled_side_is_compared_and_not_called_proved(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be run is predicted, and said to be; a proof of it is refused."""
    assert 0 == main(["convert", "numpy", model, "--momentum", "0.1", "--epsilon", "1e-5"])
    out = capsys.readouterr().out
    assert f"Not proved: {model} cannot be run here" in out
    assert 15 == out.count("as predicted")
    assert 2 == main(["convert", "numpy", model, "--prove"])
    assert "cannot be run here" in capsys.readouterr().err


@pytest.mark.parametrize(("changes", "said"), [
    ({"running_variance": "population"}, "it changes the running variance by up to 0.0"),
    ({"recomputation": "again"}, "weighs the batch by 0.19, one that moves once by 0.1"),
    ({"frozen": "A"}, "shows in a frozen layer only"),
    ({"constants": "float32"}, "shows in float64 only"),
    ({"train_statistics": "updated"}, "it changes the output of training by up to"),
])  # fmt: skip
def test_effect_of_each_choice_is_told(changes: dict[str, Any], said: str) -> None:
    """A choice that training or evaluating shows has a number; of the others it is said where they show."""
    own = Dialect(recomputation="once", frozen="C")
    (lost,) = recipe(*pair("numpy", "torch"), momentum=0.1, n=5, dialects=(own, replace(own, **changes))).lost
    assert said in lost


def test_effect_of_the_estimator() -> None:
    """With 5 values per channel sample and population variance are a quarter apart."""
    dialects = Dialect(running_variance="sample"), Dialect(running_variance="population")
    (lost,) = recipe(*pair("torch", "keras-tensorflow"), n=5, dialects=dialects).lost
    assert "25 % apart" in lost


@pytest.mark.parametrize(("name", "adapter"), [
    ("torch.nn.BatchNorm2d", "torch"), ("keras.layers.BatchNormalization", "keras-tensorflow"),
    ("flax.linen.BatchNorm", "flax-linen"), ("flax.nnx.BatchNorm", "flax-nnx"), ("equinox.nn.BatchNorm", "equinox-ema"),
    ("equinox.nn.BatchNorm", "equinox-batch"), ("tf_keras.layers.BatchNormalization", "tf-keras-unfused"),
    ("haiku.BatchNorm", "haiku"), ("tinygrad.nn.BatchNorm", "tinygrad"), ("mlx.nn.BatchNorm", "mlx"),
    ("paddle.nn.BatchNorm2D", "paddle"),
])  # fmt: skip
def test_defaults_are_those_of_the_constructor(name: str, adapter: str) -> None:
    """The arguments that are written down are the constructor's, with its defaults, and calling it so makes a layer."""
    if adapter in (missing := registry.missing()):
        pytest.skip(f"{adapter} is not installed: {missing[adapter]}")
    naming = NAMINGS[adapter]
    assert name == naming.constructor
    # Haiku's modules are made inside of a transformed function only.
    made = "" if adapter == "haiku" else naming.constructed(0.25, 1e-4, 3, naming.found if naming.axis_second else "")
    told = subprocess.run(  # frameworks do not all bear one another in one process
        [sys.executable, "-c", DEFAULTS, name, made, naming.momentum, naming.epsilon], capture_output=True, text=True,
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
    later = [one for one in proofs if one.step > 1]
    assert [2, 3, 4, 5] == [one.step for one in later]
    for one in later:
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
        (["numpy", "third_party:Sound"], "what third_party:Sound calls its arguments"),
        (["numpy", "stax"], "there is no state to carry"),
        (["numpy", "numpy", "--momentum", "1.5"], "expected 0 to 1"),
        (["numpy", "numpy", "--epsilon", "0"], "expected more than 0"),
        (["numpy", "numpy", "--values", "1"], "expected at least 2"),
        (["numpy", "numpy", "--channels", "0"], "expected at least 1"),
    ],
    ids=["unknown", "third-party", "no-names", "momentum", "epsilon", "values", "channels"],
)
def test_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input exits 2 with a message that says what is the matter."""
    assert 2 == main(["convert", *arguments])
    assert said in capsys.readouterr().err
