"""``conformance identify``: the card holds what adapters declare, and names what a mutant does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pytest

from conformance.adapters import registry
from conformance.adapters.contract import Adapter
from conformance.cli.main import main
from conformance.corpus.case import Case
from conformance.definition.dialect import UNDECLARED
from conformance.definition.variants import VARIANTS
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.session import HostSession
from conformance.identify.card import Card, identify
from conformance.identify.probes import ESTIMATORS, PROBES
from conformance.trial.mutants import Mutant, observe
from conformance.verdict.oracle import Question

#: One mutant for each way in which a variant shows.
MUTANTS = (
    "population running variance", "running variance over n - 1 - epsilon", "momentum swapped", "constants in float32",
    "first update replaces", "updates debiased", "frozen: batch statistics, state stays", "untracked: refused",
    "recomputation moves the state again", "update detached", "gradient of the statistics refused",
    "epsilon outside the root", "statistics per position", "state updated twice", "gradient through constants",
    "backward of the latest forward", "one-pass variance", "mean detached in the variance", "state kept in float16",
)  # fmt: skip


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


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_told_for_what_it_does(name: str) -> None:
    """Every choice is that of the mutant; a mistake is named, and nothing is left unexplained."""
    mutant = Mutant(name)
    card = identify(InProcess(mutant))
    own = asdict(mutant.rules.dialect)
    assert {choice: own[choice] for choice in card.dialect} == dict(card.dialect)
    if VARIANTS[name].choices:
        assert VARIANTS[name].choices.keys() <= card.dialect.keys()
    assert ([name] if VARIANTS[name].mistakes else []) == list(card.mistakes)
    assert [] == [line.name for line in card.lines if line.name.startswith("unexplained")]


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
    wanted.pop("running_variance", None)
    assert wanted == {choice: card.dialect[choice] for choice in wanted}
    for place, option in card.estimators.items():
        assert declared[ESTIMATORS[place].id]["running_variance"] in option.split(" or ")


def test_every_line_has_evidence() -> None:
    """No line of a card stands without the numbers, or the reason, that it rests on."""
    card = identify(InProcess(registry.load(registry.find("numpy"))))
    assert all(line.found and line.evidence for line in card.lines)
    names = [line.name for line in card.lines]
    wanted = {
        "running variance", "momentum", "constants", "first update", "frozen", "epsilon", "smallest effective epsilon",
        "variance computed in", "state dtype", "one value per channel", "empty batch",
    }  # fmt: skip
    assert wanted <= set(names)


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
