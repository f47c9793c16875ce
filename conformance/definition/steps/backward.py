"""A backward: the gradients of a forward that was done before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.corpus.case import Step
from conformance.definition.batch_norm import Array, by_channel, inverse_scale
from conformance.definition.bounds import forward_errors
from conformance.definition.gradient_bounds import gradient_errors
from conformance.definition.gradients import gradients, statistics_gradients
from conformance.definition.running_state import moves
from conformance.definition.simulation import Call, Simulation

__all__ = ["predict_backward"]


def predict_backward(run: Simulation, number: int, step: Step, call: Call) -> None:
    """Predict the gradients of a forward, for the backward that this step is or brings with it."""
    times = run.times_done(call)
    if moves(call.forward.mode, run.rules, with_backward=True) > moves(
        call.forward.mode, run.rules, with_backward=False
    ) and run.backwards[call.number] == 1:
        run.move(call)
    if run.rules.updates == "with each backward" and call.forward.mode == "train":
        run.move(call)
    call = _seen_by_backward(run, call)
    # Summed before it is multiplied by an infinite 1 / s a gradient is infinite, otherwise NaN.
    run.written.poisoned |= bool(np.isinf(call.forward.inverse).any())
    dy = by_channel(run.arrays[f"dy:{number}"].astype(run.wide))
    done = gradients(call.forward, dy, run.rules, step.gradients)
    bounds = gradient_errors(call.forward, call.errors, dy, run.precision, run.rules, step.gradients)
    if any(wanted.startswith("running") for wanted in step.gradients):
        done |= statistics_gradients(call.forward, dy, run.rules)
    for wanted in step.gradients:
        if wanted.startswith("running"):
            _expect_statistics_gradient(run, number, wanted, call, done[wanted] * times, bounds[wanted])
        elif wanted == "x":
            run.written.rows(number, "dx", done["x"] * times, bounds["x"], call.forward.shape)
        else:
            run.written.columns(number, f"d{wanted}", done[wanted] * times, bounds[wanted])


def _seen_by_backward(run: Simulation, call: Call) -> Call:
    """Return the forward as a backward sees it that looks at the wrong statistics."""
    seen = call.forward
    if run.rules.backward_of == "latest forward" and run.latest is not None:
        latest = run.latest.forward
        changes = {name: getattr(latest, name) for name in ("mode", "mean", "var", "inverse", "slope")}
    elif run.rules.backward_of == "current state" and seen.mode == "evaluate":
        state = run.tracked.state
        inverse, slope = inverse_scale(seen.mode, state.var, run.layer.epsilon, run.rules)
        changes = {"mean": state.mean, "var": state.var, "inverse": inverse, "slope": slope}
    elif run.rules.batch_statistics == "input's precision in the backward" and seen.mode == "train":
        return Call(*run.rounded_statistics(seen, call.errors, run.layer.dtype), call.number)
    else:
        return call
    seen = replace(seen, **changes)
    seen = replace(seen, xhat=(seen.x - seen.mean) * seen.inverse)
    return Call(seen, forward_errors(seen, run.tracked.errors, run.precision, run.rules), call.number)


def _expect_statistics_gradient(
    run: Simulation, number: int, name: str, call: Call, value: Array, bound: Array
) -> None:
    option = run.rules.dialect.statistics_gradient
    if option == "undeclared":
        run.written.unknown(number, f"d{name}", "statistics_gradient")
    elif option == "refused":
        run.written.refused(number)
    else:
        leaf = option == "leaf" and call.forward.mode == "evaluate"
        zero = np.zeros_like(value), np.zeros_like(bound)
        run.written.columns(number, f"d{name}", *((value, bound) if leaf else zero))
