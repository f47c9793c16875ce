"""Answers as they arrive: what is asked of one and what comes back are held against each other."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.definition.dialect import Dialect
from conformance.errors import HostError
from conformance.host.answers import observation_of
from conformance.host.frames import Frame
from conformance.host.messages import Ran, StepReply


def ran(steps: int) -> Ran:
    return Ran(dialect=Dialect(), steps=(StepReply(),) * steps)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_another_number_of_steps_is_refused(steps: int) -> None:
    """An answer that tells of fewer or more steps than it was asked is no answer."""
    with pytest.raises(HostError, match=f"the answer tells of {steps} steps, expected 2"):
        observation_of(ran(steps), Frame(b"", {}), calls=2)


@pytest.mark.parametrize("name", ["y", "1", "1:", "one:y", "-1:y", "1234567890:y"])
def test_an_array_of_no_step_is_refused(name: str) -> None:
    """An array is named by its step and its quantity."""
    with pytest.raises(HostError, match="expected names such as `1:y`"):
        observation_of(ran(1), Frame(b"", {name: np.zeros(1)}), calls=1)
