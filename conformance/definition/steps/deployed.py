"""What becomes of a layer: folded into the linear layer before it, or exported."""

from __future__ import annotations

import copy
from dataclasses import replace

from conformance.corpus.case import Step
from conformance.definition.batch_norm import by_channel, column, forward
from conformance.definition.bounds import folded_errors
from conformance.definition.constants import exported_epsilon
from conformance.definition.linear import Linear, folded
from conformance.definition.simulation import Simulation

__all__ = ["predict_exported", "predict_folded"]


def predict_folded(run: Simulation, number: int, step: Step) -> None:
    """Predict the output of the linear layer before the batch norm with that folded into it."""
    kernel, bias = run.arrays[f"kernel:{number}"], run.arrays.get(f"bias:{number}")
    linear = Linear(kernel.astype(run.wide), None if bias is None else bias.astype(run.wide))
    x, state = run.arrays[f"x:{step.labels[0]}"].astype(run.wide), run.tracked.state
    shape = (len(x), run.layer.channels, *x.shape[2:])
    y = by_channel(folded(linear, run.parameters, state, x, run.given_epsilon, run.rules)(x))
    exact = forward(by_channel(linear(x)), "evaluate", shape, run.parameters, state, state, run.rules)
    added = column(linear.bias, run.layer.channels, run.wide, 0)
    errors = folded_errors(
        exact, by_channel(linear.sizes(x)), added, linear.terms, run.tracked.errors, run.precision, run.rules
    )
    run.written.rows(number, "y", y, errors, shape)


def predict_exported(run: Simulation, number: int, step: Step) -> None:
    """Predict the output of the model that the layer is exported to."""
    mode, option = step.mode, run.rules.dialect.exported
    if mode == "train" and option == "undeclared":
        run.written.unknown(number, "y", "exported")
        return
    batch = option == "batch" if mode == "train" else run.rules.exported_statistics == "batch"
    model = copy.copy(run)
    model.tracked = copy.copy(run.tracked)
    model.parameters = replace(run.parameters, epsilon=exported_epsilon(run.layer.epsilon, run.rules))
    call = model.forward(step, "train" if batch else "evaluate", with_backward=False)
    run.written.rows(number, "y", call.forward.y, call.errors.y, call.forward.shape)
    if mode == "train" and run.rules.exporting == "moves the state":
        run.forward(step, "train", with_backward=False)
