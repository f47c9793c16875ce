"""Large cases, predicted a few channels at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.definition import blocks
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate

STEPS: list[dict[str, Any]] = [
    {"train": "a", "name": "first", "gradients": ["x", "gamma", "beta"]},
    {"evaluate": "b", "gradients": ["x", "running_mean"]},
    {"backward": "first", "gradients": ["x"]},
    {"through_update": ["a", "b"]},
    {"save": "kept"},
    {"train": "b", "masked": True},
    {"restore": "kept"},
]


def case(steps: list[dict[str, Any]], **more: Any) -> Case:
    given = {"id": "file/name", "fact": "It is so.", "clauses": ["1.1"], "shape": "4x5x3", "steps": steps, **more}
    return msgspec.convert(given, Case)


def test_a_block_has_no_more_values_than_fit() -> None:
    """A hundred thousand values a channel are taken one channel at a time, fifty thousand two."""
    counts = [part.stop - part.start for part in blocks.blocks((16, 3, 80, 80)) + blocks.blocks((16, 5, 56, 56))]
    assert counts == [1, 1, 1, 2, 2, 1]


def test_all_channels_of_a_small_case_are_taken_together() -> None:
    """Nothing is gained by cutting what fits into a cache."""
    assert blocks.blocks((4, 3, 7)) == [slice(0, 3)]


@pytest.mark.parametrize("more", [{}, {"dtype": "float16"}, {"dtype": "float64"}, {"momentum": "cumulative"}])
def test_blocks_say_what_the_whole_says(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and bounds are the same bit for bit, whether channels are taken by twos or together."""
    asked = case(STEPS, **more)
    arrays = generate(asked)
    together = simulate(asked, arrays, Rules())
    monkeypatch.setattr(blocks, "_VALUES", 2 * 4 * 3)
    in_blocks = simulate(asked, arrays, Rules())
    assert list(together) == list(in_blocks)
    for key, whole in together.items():
        np.testing.assert_equal(vars(in_blocks[key]), vars(whole))


@pytest.mark.parametrize(
    "step",
    [{"train": "b", "same_as": "first"}, {"train": "b", "against": "first"}, {"train": "b", "hvp": ["x"]},
     {"train": "b", "target": "t"}, {"converge": "b", "times": 2}],
)  # fmt: skip
def test_what_takes_channels_together_is_not_cut(step: dict[str, Any]) -> None:
    """A distance, for one, is of the whole output."""
    asked = case([{"train": "a", "name": "first"}, step])
    assert not blocks.may_be_cut(asked, generate(asked), Rules())


def test_statistics_over_all_channels_are_not_cut() -> None:
    """A variant that takes one mean of everything needs everything."""
    asked = case([{"train": "a"}])
    assert not blocks.may_be_cut(asked, generate(asked), Rules(axes="all"))


def test_what_is_not_finite_is_not_cut() -> None:
    """What is expected of other channels that are not finite hangs on the poisoned one."""
    asked = case([{"train": "a"}], inputs={"a": {"poison": "nan"}})
    assert not blocks.may_be_cut(asked, generate(asked), Rules())
