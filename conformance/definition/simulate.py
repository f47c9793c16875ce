"""The oracle: runs a case step by step under given rules and predicts every quantity with its bounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from conformance.corpus.case import Case, Step
from conformance.corpus.shape import parse_shape
from conformance.definition.batch_norm import Array
from conformance.definition.blocks import blocks, cut, joined, may_be_cut
from conformance.definition.network import simulate_network
from conformance.definition.prediction import Prediction
from conformance.definition.rules import Rules
from conformance.definition.simulation import Simulation
from conformance.definition.steps.backward import predict_backward
from conformance.definition.steps.converge import predict_convergence
from conformance.definition.steps.deployed import predict_exported, predict_folded
from conformance.definition.steps.derivatives import predict_derivatives
from conformance.definition.steps.forward import predict_forward
from conformance.definition.steps.through_update import predict_through_update

__all__ = ["simulate"]


def simulate(case: Case, arrays: Mapping[str, Array], rules: Rules, *, until: int | None = None) -> Prediction:
    """Predict all quantities of ``case`` on the inputs of ``corpus.inputs.generate``, under ``rules``.

    Computed in float64 for cases up to float32, in long double for float64 cases; the bounds
    include the oracle's own rounding. ``until`` is the last step to predict, from 1; what comes after
    a step changes nothing of it.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
        if case.network is not None:
            return simulate_network(case, arrays, rules)
        parts = blocks(parse_shape(case.shape))
        if len(parts) > 1 and may_be_cut(case, arrays, rules):
            return joined([_steps(*cut(case, arrays, channels), rules, until) for channels in parts])
        return _steps(case, arrays, rules, until)


def _steps(case: Case, arrays: Mapping[str, Array], rules: Rules, until: int | None) -> Prediction:
    run = Simulation(case, arrays, rules)
    for number, step in enumerate(case.program[:until], start=1):
        _take(run, number, step)
        _read_state(run, number, step)
    return run.written.prediction


def _take(run: Simulation, number: int, step: Step) -> None:
    """Do one step, and predict what is asked in it."""
    if _is_refused(run, step):
        run.written.refused(number)
    elif step.freeze is not None:
        run.frozen = step.freeze
    elif step.reload:
        run.tracked.reload()
    elif step.save is not None:
        run.saved[step.save] = run.tracked.seen()
    elif step.moves_state:
        run.tracked.put_back([run.saved[name] for name in step.average or (step.restore or "",)])
    elif step.converge is not None:
        predict_convergence(run, number, step, step.converge)
    elif step.through_update is not None:
        predict_through_update(run, number, step)
    elif step.backward is not None:
        predict_backward(run, number, step, run.calls[step.backward])
    elif step.differentiates or step.deployed:
        _predict_otherwise(run, number, step)
    else:
        predict_forward(run, number, step)


def _predict_otherwise(run: Simulation, number: int, step: Step) -> None:
    """Predict what is asked of a call in place of its output and gradients."""
    if step.differentiates:
        predict_derivatives(run, number, step)
    elif step.folded is not None:
        predict_folded(run, number, step)
    else:
        predict_exported(run, number, step)


def _is_refused(run: Simulation, step: Step) -> bool:
    """Tell whether a step raises: a backward does where its forward did."""
    refuses_evaluate = not run.layer.tracked and run.rules.dialect.untracked == "refused"
    if step.backward is not None:
        return step.backward not in run.calls
    refuses_export = step.exported and step.mode == "train" and run.rules.dialect.exported == "refused"
    return step.rejected or refuses_export or (step.evaluate is not None and refuses_evaluate)


def _read_state(run: Simulation, number: int, step: Step) -> None:
    for name, part in (("running_mean", "mean"), ("running_var", "var")):
        if name not in step.observe or not run.layer.tracked:
            continue
        if run.has_unknown_state():
            run.written.unknown(number, name, "state_dtype")
        else:
            seen, errors = run.tracked.shown
            run.written.state(number, name, getattr(seen, part), getattr(errors, part), run.tracked.dtype)
