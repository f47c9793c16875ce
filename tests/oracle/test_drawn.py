"""Both oracles on combinations that the corpus does not ask for and the fuzzer draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from conformance.corpus.case import Case, Step
from conformance.corpus.inputs import generate
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected

DIALECT = Dialect(
    statistics_gradient="leaf", update_gradient="differentiable", recomputation="once", frozen="C", untracked="batch",
    state_dtype="parameters",
)  # fmt: skip
FREEZE, UPDATE = Step(freeze=True), Step(through_update=("a", "b"))
HIGHER = {"hvp": ("x", "gamma", "dy"), "third": True, "jvp": (1, 2)}
# What the layer is, its steps, and the option of the dialect.
DRAWN: dict[str, tuple[dict[str, Any], tuple[Step, ...], dict[str, Any]]] = {
    "through the update of a frozen layer, A": ({}, (FREEZE, UPDATE), {"frozen": "A"}),
    "through the update of a frozen layer, B": ({}, (FREEZE, UPDATE), {"frozen": "B"}),
    "through the update of a frozen layer, C": ({}, (FREEZE, UPDATE), {}),
    "through the second update of an average": ({"momentum": "cumulative"}, (Step(train="c"), UPDATE), {}),
    "through an update stored in float16": ({"dtype": "float16", "param_dtype": "float16"}, (UPDATE,), {}),
    "through an update stored in bfloat16": ({"dtype": "bfloat16", "param_dtype": "bfloat16"}, (UPDATE,), {}),
    "higher, untracked, of the batch": ({"tracked": False}, (Step(evaluate="a", **HIGHER),), {}),
    "higher, untracked, of two rows": ({"tracked": False, "shape": "2x1"}, (Step(evaluate="a", third=True),), {}),
    "higher, untracked, of 0 and 1": ({"tracked": False}, (Step(evaluate="a", **HIGHER),), {"untracked": "initial"}),
    "higher, frozen": ({}, (Step(train="b"), FREEZE, Step(train="a", **HIGHER)), {}),
    "higher, float16": ({"dtype": "float16"}, (Step(train="a", **HIGHER),), {}),
    "higher, a state of float16": (
        {"dtype": "float16", "param_dtype": "float16"}, (Step(train="b"), Step(evaluate="a", **HIGHER)), {},
    ),
}  # fmt: skip


def twelve_digits(first: Mapping[tuple[int, str], Expected]) -> dict[tuple[int, str], Any]:
    """Allow every element of a quantity the same: twelve digits of the largest."""
    return {
        key: np.full(expected.value.shape, 1e-12 * float(np.abs(expected.value).max()))
        for key, expected in first.items()
    }


@pytest.mark.parametrize(("layer", "steps", "options"), DRAWN.values(), ids=DRAWN)
def test_drawn(
    misfits: Callable[..., list[str]], layer: dict[str, Any], steps: tuple[Step, ...], options: dict[str, Any]
) -> None:
    """Both oracles say the same, to twelve digits of the largest value."""
    layer = {"shape": "5x3", "epsilon": 1e-3} | layer
    case = Case(id="drawn/one", fact="F.", clauses=("1.1",), steps=steps, **layer)
    assert [] == misfits(case, replace(DIALECT, **options), twelve_digits)


def test_a_frozen_layer_passes_nothing_on(precise: ModuleType) -> None:
    """The gradient through an update that is not done is zero, and not one through an update that is."""
    case = Case(id="drawn/one", fact="F.", clauses=("8.1",), shape="5x3", steps=(FREEZE, UPDATE))
    found = {
        option: [value for _, name, _, value in precise.answers(case, generate(case), replace(DIALECT, frozen=option))
                 if name == "dx_earlier"]
        for option in ("A", "B", "C")
    }  # fmt: skip
    assert {0} == {*found["B"], *found["C"]}
    assert 0 not in found["A"]
