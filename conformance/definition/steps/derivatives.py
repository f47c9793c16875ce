"""Higher derivatives of a call."""

from __future__ import annotations

from conformance.corpus.case import Step
from conformance.definition import higher_order
from conformance.definition.batch_norm import by_channel
from conformance.definition.simulation import Simulation

__all__ = ["predict_derivatives"]


def predict_derivatives(run: Simulation, number: int, step: Step) -> None:
    """Predict higher derivatives of a call; the state stays, since nothing says what becomes of it."""
    mode, may_move = run.effective(step.mode or "train")
    rows = {
        name: by_channel(array.astype(run.wide)) if array.ndim > 1 else array.astype(run.wide).reshape(-1, 1)
        for name in ("dy", "v_x", "v_dy", "v_gamma")
        for array in [run.arrays[f"{name}:{number}"]]
    }
    x, state, errors = run.arrays[f"x:{step.labels[0]}"], run.tracked.state, run.tracked.errors
    point = higher_order.Point(
        mode, x.shape, by_channel(x.astype(run.wide)), rows["dy"], run.parameters, state, run.layer.momentum,
        may_move,
    )
    question = higher_order.Question(
        second=step.hvp, third=step.third, forward=step.jvp, x=rows["v_x"], gamma=rows["v_gamma"], dy=rows["v_dy"]
    )
    bounds = higher_order.error_bounds(point, question, run.rules, run.precision, (errors.mean, errors.var))
    for name, value in higher_order.derivatives(point, question, run.rules).items():
        if name == "hvp_gamma":
            run.written.columns(number, name, value, bounds[name])
        else:
            run.written.rows(number, name, value, bounds[name], x.shape)
