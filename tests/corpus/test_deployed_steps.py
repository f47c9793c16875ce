"""Steps that are folded or exported: what they need, and what they refuse beside."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.host.messages import call_of


def case(*steps: dict[str, Any], **changes: Any) -> Case:
    made = {"id": "made/up", "fact": "It is made up.", "clauses": ["20.2"], "shape": "5x3x2x4", "steps": list(steps)}
    return msgspec.convert({**made, **changes}, Case)


REFUSED = {
    "gradients": ({"evaluate": "a", "folded": "biased", "gradients": ["x"]}, "asks for nothing else"),
    "a name": ({"train": "a", "exported": True, "name": "first"}, "asks for nothing else"),
    "both": ({"evaluate": "a", "folded": "biased", "exported": True}, "asks for nothing else"),
    "folded in train": ({"train": "a", "folded": "biased"}, "only an `evaluate` step"),
    "exported replicas": ({"replicas": ["a", "b"], "exported": True}, "only a `train` or `evaluate` step"),
}


@pytest.mark.parametrize(("step", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(step: dict[str, Any], said: str) -> None:
    """What goes beside neither is refused, with the reason."""
    with pytest.raises(msgspec.ValidationError, match=said):
        case(step)


@pytest.mark.parametrize("changes", [{"tracked": False}, {"dtype": "float16"}], ids=["untracked", "float16"])
def test_what_cannot_be_folded(changes: dict[str, Any]) -> None:
    """Folding takes running statistics, and one precision throughout."""
    with pytest.raises(msgspec.ValidationError, match="a layer that is `folded` keeps running statistics"):
        case({"evaluate": "a", "folded": "biased"}, **changes)


def test_a_depthwise_convolution_has_positions() -> None:
    """Without spatial dimensions there is no convolution; with them its kernel has one input to a channel."""
    with pytest.raises(msgspec.ValidationError, match="takes inputs with positions"):
        case({"evaluate": "a", "folded": "depthwise"}, shape="5x3")
    arrays = generate(case({"evaluate": "a", "folded": "depthwise"}, shape="5x3x2x4"))
    assert ((3, 1, 3, 3), (3,)) == (arrays["kernel:1"].shape, arrays["bias:1"].shape)


def test_a_folded_step_has_a_linear_layer() -> None:
    """A convolution has a kernel over three positions in each spatial dimension, and a bias where it is biased."""
    arrays = generate(case({"evaluate": "a", "folded": "biased"}, {"evaluate": "a", "folded": "unbiased"}))
    assert ((3, 3, 3, 3), (3,)) == (arrays["kernel:1"].shape, arrays["bias:1"].shape)
    assert ("kernel:2" in arrays, "bias:2" in arrays) == (True, False)


def test_a_kernel_is_not_its_own_mirror() -> None:
    """Units and features cannot be taken for one another."""
    kernel = generate(case({"evaluate": "a", "folded": "biased"}, shape="5x3"))["kernel:1"]
    assert (kernel != kernel.T).any()


def test_it_travels() -> None:
    """A host is told that a step is folded, or exported; whether with a bias, by the arrays."""
    folded, exported = (call_of(step) for step in case(
        {"evaluate": "a", "folded": "unbiased"}, {"train": "a", "exported": True}).steps)  # fmt: skip
    assert ((True, False), (False, True)) == tuple((one.folded, one.exported) for one in (folded, exported))
