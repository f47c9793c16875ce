"""Folding and exporting by a host: what the layer is asked, and what is said where it has neither."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.adapters import numpy as own
from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.messages import Run
from conformance.host.play import play

STEPS = {"fold": {"evaluate": "a", "folded": "unbiased"}, "export": {"train": "a", "exported": True}}


def case(step: dict[str, Any]) -> Case:
    made = {"id": "made/up", "fact": "It is made up.", "clauses": ["20.2"], "shape": "5x3", "steps": [step]}
    return msgspec.convert(made, Case)


class Without(own.Adapter):
    """The formulas behind a layer that can be neither folded nor exported."""

    def create(self, layer: Any, state: Any) -> Any:
        built = super().create(layer, state)

        class Layer:
            forward, get_state, set_state = built.forward, built.get_state, built.set_state

        return Layer()


@pytest.mark.parametrize("name", STEPS)
def test_what_the_layer_has_no_method_for_is_unsupported(name: str) -> None:
    """A layer without the method is one that cannot be asked, and need not declare it."""
    asked = case(STEPS[name])
    ran, arrays = play(Without(), Run.of(asked), generate(asked))
    assert f"the layer of the adapter has no method {name}" == ran.unsupported
    assert "Unsupported" == (ran.steps[0].raises.type if ran.steps[0].raises else None)
    assert {} == arrays


@pytest.mark.parametrize("name", STEPS)
def test_the_output_is_what_is_answered(name: str) -> None:
    """A layer with the method answers one output, and its state, which has not moved."""
    asked = case(STEPS[name])
    given = generate(asked)
    ran, arrays = play(own.Adapter(), Run.of(asked), given)
    assert ran.unsupported is None
    assert {"1:y", "1:running_mean", "1:running_var"} == arrays.keys()
    np.testing.assert_array_equal(given["running_mean"], arrays["1:running_mean"])
