"""Which clause a quantity of a step belongs to."""

from __future__ import annotations

from conformance.corpus.case import Case, Step
from conformance.definition.prediction import Key

__all__ = ["QUANTITIES", "clause_of"]

_TRAIN = {
    "y": ("1.1", (1, 2)), "running_mean": ("3.1", (3, 4)), "running_var": ("3.2", (3, 4)), "dx": ("6.1", (6,)),
    "dgamma": ("6.2", (6,)), "dbeta": ("6.2", (6,)),
}  # fmt: skip
_EVALUATE = {
    "y": ("5.1", (5, 2)), "running_mean": ("4.3", (4,)), "running_var": ("4.3", (4,)), "dx": ("7.1", (7,)),
    "dgamma": ("7.2", (7,)), "dbeta": ("7.2", (7,)),
}  # fmt: skip
_ANY = {"drunning_mean": "7.3", "drunning_var": "7.3", "dx_earlier": "8.1", "mse": "21.1", "loss": "21.1"}
# The Hessian in evaluate, that of a linear transform, has a clause of its own.
_HIGHER_ORDER = {
    "hvp_x": "9.1", "hvp_gamma": "9.1", "hvp_dy": "9.1", "third_x": "9.3", "jvp_y": "9.4", "jvp2_y": "9.5",
}  # fmt: skip
#: The name of every quantity that a step may yield as numbers.
QUANTITIES = (*_TRAIN, *_ANY, *_HIGHER_ORDER)
# Of the clauses that a case may cite for a mean, these speak of the variance alone, and the reverse.
_NOT_OF = {"running_mean": "3.2", "running_var": "3.1", "dgamma": "6.1", "dbeta": "6.1", "dx": "6.2"}


def clause_of(case: Case, key: Key) -> str:
    """Return the clause that the quantity is judged by.

    Each quantity has a clause of its own; a clause that the case cites from the same area of the
    definition takes its place, being the more special one.
    """
    number, name = key
    if name in _HIGHER_ORDER:
        return "9.2" if name.startswith("hvp") and _mode(case.program, number) == "evaluate" else _HIGHER_ORDER[name]
    if name == "mse" and case.program[number - 1].converge is not None:
        return "21.2"
    if name in _ANY:
        return _ANY[name]
    if name in ("outcome", "same") or number == 0:
        return case.clauses[0]
    if int(case.clauses[0].partition(".")[0]) > 8:
        return case.clauses[0]
    default, areas = (_TRAIN if _mode(case.program, number) == "train" else _EVALUATE)[name]
    cited = (clause for clause in case.clauses if int(clause.partition(".")[0]) in areas)
    return next((clause for clause in cited if clause != _NOT_OF.get(name)), default)


def _mode(program: tuple[Step, ...], number: int) -> str:
    step = program[number - 1]
    if step.backward is not None:
        step = next(earlier for earlier in program if earlier.name == step.backward)
    return step.mode or "evaluate"
