"""Training on one batch again and again: how far evaluating it is from its output in train."""

from __future__ import annotations

from conformance.corpus.case import Step
from conformance.definition.convergence import evaluated
from conformance.definition.simulation import Simulation

__all__ = ["predict_convergence"]


def predict_convergence(run: Simulation, number: int, step: Step, label: str) -> None:
    """Expect how far evaluating is from the first training output, before it and after each ``every``-th.

    The batch is the same in every call, and so are its statistics: the states alone are gone through one by one.
    """
    seen = [run.tracked.seen()]
    if run.moves("evaluate"):
        run.forward(Step(evaluate=label), "evaluate", with_backward=False)
    trained = run.forward(Step(train=label), "train", with_backward=False)
    for k in range(1, step.times + 1):
        if k % step.every == 0:
            seen.append(run.tracked.seen())
        for _ in range(run.moves("evaluate") if k % step.every == 0 else 0):
            run.move(trained)
        for _ in range(run.moves("train") if k < step.times else 0):
            run.move(trained)
    mode, _ = run.effective("evaluate")
    call, momentum = trained.forward, run.layer.momentum
    y, error = evaluated(call.x, call.shape, run.parameters, seen, mode, momentum, run.precision, run.rules)
    run.written.distance(number, "mse", y, call.y[None], error + trained.errors.y[:, None])
