"""A forward: its output, and how far that is from others; its backward where gradients are asked for at once."""

from __future__ import annotations

import numpy as np

from conformance.corpus.case import Step
from conformance.definition.batch_norm import by_channel
from conformance.definition.simulation import Call, Simulation
from conformance.definition.steps.backward import predict_backward

__all__ = ["predict_forward"]


def predict_forward(run: Simulation, number: int, step: Step) -> None:
    """Do a forward, and its backward where gradients are asked for in the same step."""
    call = run.forward(step, step.mode or "train", with_backward=False)
    if step.name is not None:
        run.calls[step.name] = call
        run.numbers[step.name] = number
    if step.recompute:
        run.recompute(call)
    if "y" in step.observe:
        run.written.rows(number, "y", call.forward.y, call.errors.y, call.forward.shape)
    if step.same_as is not None:
        _expect_same(run, number, step.same_as, call)
    if step.against is not None or step.target is not None:
        _expect_distances(run, number, step, call)
    if step.gradients:
        predict_backward(run, number, step, call)


def _expect_same(run: Simulation, number: int, name: str, call: Call) -> None:
    """Expect the output of an earlier step again, where the definition makes the two the same."""
    if np.array_equal(run.calls[name].forward.y, call.forward.y, equal_nan=True):
        run.written.same(number, run.numbers[name])


def _expect_distances(run: Simulation, number: int, step: Step, call: Call) -> None:
    """Expect how far the output is from an earlier one, and from a target."""
    y, error = call.forward.y[None], call.errors.y[:, None]
    if step.against is not None and step.against in run.calls:
        earlier = run.calls[step.against]
        run.written.distance(number, "mse", y, earlier.forward.y[None], error + earlier.errors.y[:, None])
    if step.target is not None:
        target = by_channel(run.arrays[f"x:{step.target}"].astype(run.wide))
        run.written.distance(number, "loss", y, target[None], error)
