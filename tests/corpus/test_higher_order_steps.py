"""Steps that ask for higher derivatives: what they may ask, and the directions that are drawn for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.corpus.case import Case, Step
from conformance.corpus.inputs import generate


def case(*steps: Step, **fields: Any) -> Case:
    return Case(id="file/name", fact="X is Y.", clauses=("9.1",), steps=steps, shape="5x3", **fields)


def test_a_step_that_differentiates_observes_nothing() -> None:
    """A step with higher derivatives reads neither the output nor the state."""
    assert Step(train="a", hvp=("x",)).observe == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"train": "a", "gradients": ("x",), "hvp": ("x",)},
        {"train": "a", "name": "first", "third": True},
        {"evaluate": "a", "rejected": True, "jvp": (1,)},
        {"freeze": True, "third": True},
    ],
    ids=["gradients", "name", "rejected", "no forward"],
)
def test_higher_derivatives_go_with_nothing_else(fields: dict[str, Any]) -> None:
    """Higher derivatives beside another request, or without a forward, are refused."""
    with pytest.raises(ValueError, match="go with `train` or `evaluate`"):
        Step(**fields)


def test_a_direction_in_an_absent_gamma_is_refused() -> None:
    """The Hessian in gamma is refused where the layer has none."""
    with pytest.raises(ValueError, match="gamma, which the layer lacks"):
        case(Step(train="a", hvp=("x", "gamma")), gamma="none")


def test_directions_are_drawn_for_each_step() -> None:
    """Each step has directions of the shapes and dtypes of their variables, and an upstream gradient."""
    arrays = generate(case(Step(train="a", hvp=("x",)), Step(train="a", third=True), dtype="float64"))
    for name, shape in {"dy": (5, 3), "v_x": (5, 3), "v_dy": (5, 3), "v_gamma": (3,)}.items():
        one, other = (arrays[f"{name}:{number}"] for number in (1, 2))
        assert (shape, np.float64) == (one.shape, one.dtype)
        assert not np.array_equal(one, other)


def test_a_direction_of_ones_is_a_shift() -> None:
    """With `direction: ones` every direction is constant; the upstream gradient stays random."""
    arrays = generate(case(Step(train="a", hvp=("x",), direction="ones")))
    np.testing.assert_array_equal(1, arrays["v_x:1"])
    assert np.ptp(arrays["dy:1"]) > 0
