"""The gradient with respect to an earlier batch, through the update of the state."""

from __future__ import annotations

import numpy as np

from conformance.corpus.case import Step
from conformance.definition.batch_norm import by_channel
from conformance.definition.gradient_bounds import gradient_errors, update_gradient_error
from conformance.definition.gradients import statistics_gradients, update_gradient
from conformance.definition.simulation import Simulation
from conformance.definition.storing import storing_error

__all__ = ["predict_through_update"]


def predict_through_update(run: Simulation, number: int, step: Step) -> None:
    """Train on one input, evaluate on another, and predict the gradient with respect to the first."""
    first, second = step.labels
    weight, updates = run.wide(run.tracked.weight()), run.tracked.state.updates
    earlier = run.forward(Step(train=first), "train", with_backward=True)
    moved = run.tracked.state.updates > updates
    later = run.forward(Step(evaluate=second), "evaluate", with_backward=True)
    option = run.rules.dialect.update_gradient
    if option == "undeclared":
        run.written.unknown(number, "dx_earlier", "update_gradient")
        return
    call = earlier.forward
    factor = run.tracked.factor(run.tracked.batch(call))
    dy = by_channel(run.arrays[f"dy:{number}"].astype(run.wide))
    by_state = statistics_gradients(later.forward, dy, run.rules)
    bounds = gradient_errors(later.forward, later.errors, dy, run.precision, run.rules, by_state)
    # The gradient of a state is of the state's dtype.
    bounds |= {
        name: bounds[name] + storing_error(value, run.tracked.dtype, run.precision)
        for name, value in by_state.items()
    }
    value = update_gradient(call, by_state, weight, factor)
    bound = update_gradient_error(
        call, earlier.errors.batch, by_state, bounds, float(weight), float(factor), run.precision
    )
    if option == "detached" or not moved:
        value, bound = np.zeros_like(value), np.zeros_like(bound)
    run.written.rows(number, "dx_earlier", value, bound, call.shape)
