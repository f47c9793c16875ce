"""The fuzzer finds what is wrong, makes it small, and leaves in peace what is right."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings

from conformance.adapters import numpy as own
from conformance.adapters.contract import LayerConfig, State
from conformance.adapters.shared import numpy_layer
from conformance.corpus.case import Case, Step
from conformance.corpus.load import load_file
from conformance.fuzz.cases import cases
from conformance.fuzz.search import Direct, search
from conformance.fuzz.text import case_file, entry
from conformance.trial.honest import HonestAdapter
from conformance.trial.mutants import Mutant
from conformance.verdict.deviations import Deviation

# One for each way in which a variant can show: values, state, gradients, later calls, precision, errors.
NAMES = (
    "epsilon outside the root", "population running variance", "state updated by the backward",
    "statistics detached in train", "backward of the latest forward", "repeated backward accumulates",
    "gradient terms in the input's precision", "state lost by saving", "second derivatives zero",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_is_found(name: str) -> None:
    """Two thousand cases at most find an implementation with one mistake."""
    found = search(Direct(Mutant(name)), examples=2000, shrinking=False)
    assert found.witness is not None


@pytest.mark.parametrize("adapter", [own.Adapter(), HonestAdapter()], ids=["canary", "honest"])
def test_what_is_right_is_not_accused(adapter: own.Adapter | HonestAdapter) -> None:
    """Neither the oracle's own formulas nor an honest implementation fail a drawn case, or lack what it asks for."""
    found = search(Direct(adapter), examples=300)
    assert (300, None) == (found.examples, found.witness)
    assert {"agrees", "rough"} >= set(found.verdicts)


def test_of_several_who_fails_is_named() -> None:
    """Several are asked the same cases, and the one who fails is told."""
    found = search(Direct(own.Adapter()), Direct(HonestAdapter()), Direct(Mutant("gamma plus one")), examples=500)
    assert found.witness is not None
    assert Direct(Mutant("gamma plus one")).implementation.id == found.witness.implementation


@pytest.fixture(scope="module")
def drawn() -> set[str]:
    """Return in words what a few thousand cases ask for."""
    found: set[str] = set()

    @settings(max_examples=4000, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(1)
    @given(case=cases())
    def look(case: Case) -> None:
        frozen = False
        for step in case.steps:
            found.update(name for name, value in msgspec.structs.asdict(step).items() if value not in (None, False, ()))
            frozen = frozen if step.freeze is None else step.freeze
            if step.differentiates:
                found.update({f"higher {case.dtype}", f"higher tracked {case.tracked}", f"higher frozen {frozen}"})
            if step.through_update is not None:
                found.update({f"update 16 bits {case.param_dtype is not None}", f"update frozen {frozen}"})
        for given_ in case.inputs.values():
            found.update({given_.kind, given_.poison, f"shape {given_.shape is not None}"})

    look()
    return found


def test_every_kind_of_step_is_drawn(drawn: set[str]) -> None:
    """All that a step can be is drawn; that two outputs are the same bit for bit only a case file says."""
    assert set() == {*Step.__struct_fields__} - {"same_as"} - drawn


def test_odd_inputs_are_drawn(drawn: set[str]) -> None:
    """Constant channels are drawn, values that are not finite, and batches of other sizes than the case has."""
    assert drawn >= {"constant", "nan", "inf", "shape True"}


def test_higher_derivatives_and_updates_are_drawn_of_every_layer(drawn: set[str]) -> None:
    """Higher derivatives in 16 bits, untracked and frozen are drawn, and updates of frozen layers and 16-bit states."""
    assert drawn >= {
        "higher float16", "higher bfloat16", "higher tracked False", "higher frozen True",
        "update 16 bits True", "update frozen True",
    }  # fmt: skip


def test_what_fails_is_made_small() -> None:
    """A swapped momentum comes down to one training step of an otherwise plain layer, and is named."""
    witness = search(Direct(Mutant("momentum swapped")), examples=2000).witness
    assert witness is not None
    assert 1 == len(witness.case.steps)
    assert "2x1" == witness.case.shape
    assert "matches the variant 'momentum swapped'" in witness.explanation
    assert "differs" == witness.verdict


def test_the_same_seed_draws_the_same_cases() -> None:
    """A search can be repeated: it finds the same after as many cases."""
    one, other = (search(Direct(Mutant("gamma plus one")), examples=500, start=3) for _ in range(2))
    assert (one.examples, one.witness) == (other.examples, other.witness)


def test_time_ends_a_search() -> None:
    """A search ends when it has taken as long as it may."""
    found = search(Direct(own.Adapter()), examples=10**9, seconds=0.5)
    assert 0 < found.examples < 10**5
    assert found.witness is None


def test_an_interrupt_ends_the_shrinking() -> None:
    """Whoever interrupts a search that has found something is told what that is so far; else it is an interrupt."""

    class Impatient(Mutant):
        def __init__(self, name: str, until: int) -> None:
            super().__init__(name)
            self.until = until

        def create(self, layer: LayerConfig, state: State) -> numpy_layer.Layer:
            self.until -= 1
            if not self.until:
                raise KeyboardInterrupt
            return super().create(layer, state)

    name = "repeated backward accumulates"  # which takes more than a step: there is something to shrink
    whole = search(Direct(Mutant(name)), examples=2000)
    cut = search(Direct(Impatient(name, until=whole.examples + 3)), examples=2000)
    assert cut.witness is not None
    assert whole.examples == cut.examples
    with pytest.raises(KeyboardInterrupt):
        search(Direct(Impatient(name, until=1)), examples=2000)


def test_what_is_recorded_is_passed_over() -> None:
    """A recorded deviation of the implementation explains cases that no pattern of the record names."""
    record = Deviation(
        name="swapped", implementation="numpy", cases=("running_stats/*",),
        quantities=(
            "running_mean", "running_var", "y", "dx", "dgamma", "drunning_var", "drunning_mean", "dx_earlier", "mse",
            "loss",
        ),
        variants=("momentum swapped",), reason="It is so.", proof="By hand.",
    )  # fmt: skip
    found = search(Direct(Mutant("momentum swapped")), examples=200, deviations=(record,))
    assert found.known.total() > 0
    assert found.witness is None, found.witness


@settings(max_examples=50, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=cases())
def test_what_is_printed_is_the_case(tmp_path_factory: pytest.TempPathFactory, drawn: Case) -> None:
    """The text of a drawn case, read as a case file, is the same case."""
    root = tmp_path_factory.mktemp("cases")
    (root / "found.yaml").write_text(case_file([entry(drawn, "found", drawn.fact, drawn.clauses)], "T"), "utf-8")
    (read,) = load_file(root / "found.yaml", root)
    assert msgspec.structs.replace(drawn, id="found/found") == read
