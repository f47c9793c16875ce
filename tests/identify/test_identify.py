"""``conformance identify``: the card holds what adapters declare, and names what a mutant does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pytest

from conformance.adapters import registry
from conformance.adapters.contract import Adapter
from conformance.adapters.naming import NAMINGS
from conformance.cli.main import main
from conformance.corpus.case import Case
from conformance.definition.dialect import UNDECLARED, Dialect, choices
from conformance.definition.variants import VARIANTS
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.session import HostSession
from conformance.identify.card import Card, identify
from conformance.identify.probes import ESTIMATORS, PROBES
from conformance.trial.mutants import Mutant, observe
from conformance.verdict.oracle import Question


@dataclass(frozen=True)
class InProcess:
    """An adapter asked in this process."""

    adapter: Adapter

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        return observe(self.adapter, Question(case))


@dataclass(frozen=True)
class Undeclared:
    """A session whose declarations are not to be had: what is told must come from the answers."""

    session: HostSession
    declared: dict[str, dict[str, str]]

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        seen = self.session.observe(case)
        if isinstance(seen, Observation) and seen.unsupported is None:
            self.declared[case.id] = asdict(seen.dialect)
        return seen


@dataclass(frozen=True)
class Forward:
    """One that has no gradients, and trains only if so told."""

    asked: InProcess
    trains: bool

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        for step in case.steps:
            lacking = step.gradients or step.differentiates or step.through_update
            if lacking or (step.mode == "train" and not self.trains):
                return Observation(dialect=Dialect(), unsupported="forwards only")
        return self.asked.observe(case)


@dataclass(frozen=True)
class Narrow:
    """One that takes images of float32 only, as fused kernels do."""

    asked: InProcess

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        if case.layer.rank < 4 or case.dtype == "float64":
            return Observation(dialect=Dialect(), unsupported="it takes images of float32 only")
        return self.asked.observe(case)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_mutant_is_told_for_what_it_does(name: str) -> None:
    """Every choice is that of the mutant; a mistake is named, and nothing is left unexplained."""
    mutant = Mutant(name)
    card = identify(InProcess(mutant))
    own = asdict(mutant.rules.dialect)
    assert {choice: own[choice] for choice in card.dialect} == dict(card.dialect)
    if VARIANTS[name].choices:
        assert VARIANTS[name].choices.keys() <= card.dialect.keys()
    told = [*card.mistakes, *(variant for one in card.local for variant in one.variants)]
    assert ([name] if VARIANTS[name].mistakes else []) == told
    assert () == card.unexplained


@pytest.mark.parametrize("name", ["population running variance", "momentum swapped", "epsilon outside the root"])
def test_one_that_takes_images_only_is_told(name: str) -> None:
    """What takes no rank below 4 and no float64 is asked the same with dimensions of length one, and it is said so."""
    mutant = Mutant(name)
    card = identify(Narrow(InProcess(mutant)))
    own = asdict(mutant.rules.dialect)
    assert choices().keys() - card.dialect.keys() <= {"constants"}
    assert {choice: own[choice] for choice in card.dialect} == dict(card.dialect)
    assert {4, 5} == {rank for rank, _ in card.estimators}
    assert () == card.unexplained
    assert card.facts["update"].endswith("in float32 on inputs of shape 3x1x1x1")


@pytest.mark.parametrize("trains", [True, False], ids=["trains", "evaluates"])
def test_one_without_gradients_is_told(*, trains: bool) -> None:
    """Of what has no gradients, or does not train either, the forwards that it has are asked."""
    mutant = Mutant("epsilon outside the root")
    card = identify(Forward(InProcess(mutant), trains))
    own = asdict(mutant.rules.dialect)
    assert {choice: own[choice] for choice in card.dialect} == dict(card.dialect)
    assert ("epsilon outside the root",) == card.mistakes
    assert trains == ("momentum" in card.dialect)
    assert card.facts["evaluate"].endswith("its forwards only" if trains else "its evaluations only")
    assert trains == ("offset" in card.facts)


ADAPTERS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in registry.BUILT_IN]


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_an_adapter_declares_is_found(name: str) -> None:
    """Each choice that is declared and was told is the declared one, the estimators by rank and dtype too."""
    if name in (missing := registry.missing()):
        pytest.skip(f"{name} is not installed: {missing[name]}")
    declared: dict[str, dict[str, str]] = {}
    with HostSession(name, time_limit=300) as session:
        card = identify(Undeclared(session, declared))
    if not declared:
        pytest.skip(f"{name} answers none of the probes")
    _holds(card, declared)


def test_wide_bounds_explain_nothing_that_a_formula_does() -> None:
    """PyTorch's own mistakes are named, and it is not said to compute in less than it does."""
    if "torch" in (missing := registry.missing()):
        pytest.skip(f"torch is not installed: {missing['torch']}")
    with HostSession("torch", time_limit=300) as session:
        card = identify(session)
    assert "backward of the current state" in card.mistakes
    assert not {"computed in float16", "computed in bfloat16", "one-pass variance"} & set(card.mistakes)
    assert "own" == card.dialect["constants"]
    assert "sample" == card.estimators[2, "float32"]


def test_one_pass_is_told_from_a_poorer_precision() -> None:
    """Flax computes its variance in one pass, in the precision of its input."""
    if "flax-linen" in (missing := registry.missing()):
        pytest.skip(f"flax-linen is not installed: {missing['flax-linen']}")
    with HostSession("flax-linen", time_limit=300) as session:
        card = identify(session)
    assert "one-pass variance" in card.mistakes
    assert not {"computed in float16", "computed in bfloat16"} & set(card.mistakes)
    assert "one pass" == next(line.found for line in card.lines if line.name == "variance computed in")


def _holds(card: Card, declared: dict[str, dict[str, str]]) -> None:
    own = next((declared[case.id] for case in PROBES.values() if case.id in declared), {})
    wanted = {choice: option for choice, option in own.items() if option != UNDECLARED and choice in card.dialect}
    if card.estimators:
        wanted.pop("running_variance", None)
    assert wanted, "no choice that is declared was told"
    assert wanted == {choice: card.dialect[choice] for choice in wanted}
    for place, option in card.estimators.items():
        assert declared[ESTIMATORS[place].id]["running_variance"] in option.split(" or ")


def test_every_line_has_evidence() -> None:
    """A layer that lacks nothing is told in full; no line stands without the numbers, or the reason, it rests on."""
    card = identify(InProcess(registry.load(registry.find("numpy"))))
    assert choices().keys() == card.dialect.keys()
    assert ESTIMATORS.keys() == card.estimators.keys()
    assert all(line.found and line.evidence for line in card.lines)
    names = [line.name for line in card.lines]
    wanted = {
        "running variance", "momentum", "precision of epsilon and momentum", "first update", "frozen class", "epsilon",
        "smallest effective epsilon", "variance computed in", "state dtype", "update differentiable",
        "gradient of the statistics", "recomputation", "one value per channel", "empty batch", "defaults",
    }  # fmt: skip
    assert wanted <= set(names)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("torch", {"momentum": "0.1", "eps": "1e-05", "affine": "True"}),
        ("keras-tensorflow", {"momentum": "0.99", "epsilon": "0.001", "axis": "-1"}),
        ("flax-linen", {"momentum": "0.99", "epsilon": "1e-05", "axis": "-1", "use_bias": "True"}),
        ("tf-keras-v1", {"momentum": "0.99", "epsilon": "0.001", "axis": "-1"}),
        ("onnxruntime", {"momentum": "0.9", "epsilon": "1e-05"}),
    ],
)
def test_defaults_are_read_from_the_implementation(name: str, known: dict[str, str]) -> None:
    """The host tells what the constructor takes where nothing is said."""
    if name in (missing := registry.missing()):
        pytest.skip(f"{name} is not installed: {missing[name]}")
    with HostSession(name, time_limit=300) as session:
        assert session.defaults is not None
        assert known == {argument: session.defaults.arguments[argument] for argument in known}


@pytest.mark.parametrize(("name", "said"), [("torch", "momentum weighs the new batch"),
                                            ("keras-jax", "momentum weighs the old state"),
                                            ("haiku", "decay_rate weighs the old state")])  # fmt: skip
def test_the_momentum_is_told_in_the_words_of_the_implementation(name: str, said: str) -> None:
    """What the suite's adapter converts is told as a user of the implementation would give it."""
    card = identify(InProcess(registry.load(registry.find("numpy"))), naming=NAMINGS[name])
    assert said == next(line.found for line in card.lines if line.name == "momentum")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints the same for programs."""
    assert 0 == main(["identify", "numpy", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert "new" == told["dialect"]["momentum"]
    assert {"name", "found", "evidence"} == set(told["lines"][0])


def test_no_such_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name exits 2."""
    assert 2 == main(["identify", "nobody"])
    assert "no adapter is named" in capsys.readouterr().err
