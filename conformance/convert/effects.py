"""How large the effect is of one choice that the target makes otherwise, for a given layer and batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.verdict.oracle import Question

__all__ = ["Effects", "proving_case"]

#: What is done in the proof: the state carried over is evaluated, trained for three steps and evaluated again.
_STEPS = ({"evaluate": "a"}, {"train": "b"}, {"train": "c"}, {"train": "d"}, {"evaluate": "a"})
#: What is compared: quantities of the last steps, in words.
_SAID = {
    (5, "running_mean"): "the running mean", (5, "running_var"): "the running variance",
    (4, "y"): "the output of training", (5, "y"): "the output of evaluating",
}  # fmt: skip
#: Where those choices show that neither training nor evaluating tells.
_ELSEWHERE = {
    "constants": "It shows in float64 only, where what is rounded is off by up to 6e-8 of itself.",
    "recomputation": "It shows under checkpointing only: a state that moves twice weighs the batch by {again:.3g}, "
    "one that moves once by {weight:.3g}.",
    "frozen": "It shows in a frozen layer only.",
    "untracked": "It shows in a layer without running statistics only.",
    "state_dtype": "It shows with 16-bit parameters only: a state of 16 bits is rounded in every step, to 3 digits of "
    "float16 or 2 of bfloat16.",
    "statistics_gradient": "It shows only where a gradient by the running statistics is asked for.",
    "update_gradient": "It shows only where a gradient of an evaluation is taken by an earlier batch.",
    "exported": "It shows only where the layer is exported while it is in train.",
}


def proving_case(
    name: str, *, momentum: float, epsilon: float, channels: int, n: int, spatial: str = ""
) -> Case:  # fmt: skip
    """Return the case that is put to both sides: ``n`` values in each of the channels."""
    made = {
        "id": name, "fact": "A conversion.", "clauses": ("20.1",), "steps": list(_STEPS),
        "shape": f"{n}x{channels}{spatial}", "momentum": momentum, "epsilon": epsilon,
    }  # fmt: skip
    return msgspec.convert(made, Case)


@dataclass(frozen=True)
class Effects:
    """Effects on a layer of that weight of the batch and epsilon, for batches of ``n`` values per channel."""

    weight: float
    epsilon: float
    channels: int | None
    n: int

    def of(self, source: Dialect, choice: str, option: str) -> str:
        """Return in words how far another option takes the state and the outputs after three steps."""
        changes: dict[str, Any] = {choice: option}
        before, after = (self._question.predict(Rules(dialect=one)) for one in (source, replace(source, **changes)))
        said = [
            f"{words} by up to {gap:.3g}"
            for key, words in _SAID.items() if (gap := _apart(before.get(key), after.get(key)))
        ]  # fmt: skip
        if not said:
            return _ELSEWHERE.get(choice, "Neither training nor evaluating shows it.").format(
                weight=self.weight, again=1 - (1 - self.weight) ** 2
            )
        limit = f"{self._tends()} " if choice == "running_variance" else ""
        return f"{limit}After three steps on such batches it changes {', '.join(said)}."

    def _tends(self) -> str:
        factor = self.n / (self.n - 1)
        return (
            f"With n = {self.n} values per channel the two tend to running variances {100 * (factor - 1):.3g} % apart, "
            f"and outputs of evaluate to scales {100 * (factor**0.5 - 1):.3g} % apart; what is carried over stays."
        )

    @cached_property
    def _question(self) -> Question:
        return Question(proving_case(
            "convert/effects", momentum=self.weight, epsilon=self.epsilon, channels=self.channels or 3, n=self.n,
        ))  # fmt: skip


def _apart(one: Any, other: Any) -> float:
    """Return the largest distance of two predictions if it is more than rounding may cause, else zero."""
    if not isinstance(one, Expected) or not isinstance(other, Expected):
        return 0.0
    gap = np.abs((one.value - other.value).astype(np.float64))
    return float(gap.max()) if (gap > one.tight + other.tight).any() else 0.0
