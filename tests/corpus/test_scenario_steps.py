"""Steps of scenarios: states that are kept and put back, distances, convergence, joined inputs, networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.corpus.case import Case, Inputs, Network, Step
from conformance.corpus.inputs import generate

SAVE, TRAIN = Step(save="start"), Step(train="a", name="first")


def case(*steps: Step, **fields: Any) -> Case:
    return Case(id="file/name", fact="X is Y.", clauses=("21.1",), steps=steps, **{"shape": "5x3", **fields})


@pytest.mark.parametrize(
    "steps",
    [(Step(restore="start"),), (Step(restore="start"), SAVE), (SAVE, Step(average=("start", "end")))],
    ids=["never saved", "saved later", "one of two"],
)
def test_only_a_saved_state_is_put_back(steps: tuple[Step, ...]) -> None:
    """A state that no earlier step has saved cannot be put back."""
    with pytest.raises(ValueError, match="no earlier step has saved"):
        case(*steps)


def test_an_untracked_layer_has_no_state_to_save() -> None:
    """A layer that keeps no running statistics is refused where its state is saved."""
    with pytest.raises(ValueError, match="has no state to save"):
        case(SAVE, tracked=False)


def test_a_distance_names_an_earlier_step() -> None:
    """A step cannot be held against one that comes later, or against none."""
    with pytest.raises(ValueError, match="`against: first` names no earlier step"):
        case(Step(evaluate="a", against="first"), TRAIN)


@pytest.mark.parametrize("fields", [{"freeze": True, "target": "t"}, {"save": "start", "against": "first"}])
def test_only_forwards_have_distances(fields: dict[str, Any]) -> None:
    """What calls nothing has no output to measure."""
    with pytest.raises(ValueError, match="only a train or evaluate step"):
        Step(**fields)


def test_times_is_a_multiple_of_every() -> None:
    """The last step of a convergence is one that is looked at."""
    with pytest.raises(ValueError, match="no multiple of `every: 3`"):
        Step(converge="a", times=10, every=3)


def test_times_goes_with_converge() -> None:
    """A plain training step is done once."""
    with pytest.raises(ValueError, match="go with `converge`"):
        Step(train="a", times=3)


@pytest.mark.parametrize(("gradients", "mode"), [((), "evaluate"), (("x",), "train")])
def test_the_mode_of_an_automatic_step(gradients: tuple[Any, ...], mode: str) -> None:
    """A forward whose mode is left open trains where a gradient is taken."""
    assert mode == Step(automatic="a", gradients=gradients).mode


def test_joined_inputs_are_rows_one_after_the_other() -> None:
    """An input that joins two others has the rows of the first, then those of the second."""
    steps = Step(train="a"), Step(train="b"), Step(train="both")
    arrays = generate(case(*steps, inputs={"both": Inputs(joined=("a", "b"), shape="10x3")}))
    np.testing.assert_array_equal(np.concatenate([arrays["x:a"], arrays["x:b"]]), arrays["x:both"])


@pytest.mark.parametrize("fields", [{"joined": ("a",)}, {"joined": ("a", "b"), "of": "c"}], ids=["one", "of"])
def test_joined_takes_two_inputs_and_nothing_else(fields: dict[str, Any]) -> None:
    """One input alone, or one that is changed too, is not joined."""
    with pytest.raises(ValueError, match="`joined` names two other inputs"):
        Inputs(**fields)


def test_a_target_is_an_input() -> None:
    """The target of a loss is drawn like an input, and is no other."""
    arrays = generate(case(Step(train="a", target="t")))
    assert arrays["x:a"].shape == arrays["x:t"].shape
    assert not np.array_equal(arrays["x:a"], arrays["x:t"])


def test_repetitions_keep_states_of_their_own() -> None:
    """Each repetition of the steps saves and restores under names of its own."""
    program = case(SAVE, TRAIN, Step(restore="start"), repeat=2).program
    assert ("start.2", "start.2") == (program[3].save, program[5].restore)


def test_a_network_has_kernels_and_joined_parameters() -> None:
    """A network has a kernel and a bias for each dense layer, and one gamma for all its batch norms."""
    made = case(Step(train="a"), network=Network(blocks=2, width=4, outputs=2), state="initial")
    shapes = {name: array.shape for name, array in generate(made).items()}
    expected = {
        "kernel_1": (4, 3), "bias_1": (4,), "kernel_2": (4, 4), "bias_2": (4,), "kernel_3": (2, 4), "bias_3": (2,),
        "gamma": (8,), "beta": (8,), "running_mean": (8,), "running_var": (8,), "x:a": (5, 3),
    }  # fmt: skip
    assert expected == shapes


def test_the_upstream_gradient_of_a_network_is_like_its_output() -> None:
    """What is upstream of a network, and directions in it, have as many columns as the network has outputs."""
    step = Step(train="a", hvp=("x",))
    arrays = generate(case(step, network=Network(blocks=1, width=4, outputs=2), state="initial"))
    assert ((5, 2), (5, 2), (5, 3)) == tuple(arrays[f"{name}:1"].shape for name in ("dy", "v_dy", "v_x"))


@pytest.mark.parametrize(
    "fields",
    [{"shape": "5x3x2"}, {"state": "random"}, {"gamma": "none"}, {"steps": (Step(freeze=True),)},
     {"steps": (Step(train="a", jvp=(1,)),)}, {"steps": (Step(train="a", gradients=("gamma",)),)}],
    ids=["rank", "state", "gamma", "freeze", "forward mode", "gradient of gamma"],
)  # fmt: skip
def test_what_a_network_is_not_asked(fields: dict[str, Any]) -> None:
    """A network has rows of features, no frozen layers, and no derivatives but those in its input."""
    steps = fields.pop("steps", (Step(train="a"),))
    with pytest.raises(ValueError, match="`network`"):
        case(*steps, network=Network(blocks=1, width=4, outputs=2), **{"state": "initial", **fields})
