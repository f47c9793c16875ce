"""Every decision that the formulas take: the dialect's choices, and the right answer elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, get_args, get_type_hints

from conformance.definition.dialect import REFERENCE, Dialect

__all__ = ["Rules", "decisions"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """One field per decision; every default is what the definition says.

    The other options are mistakes, each of which somebody has made. They are named by the variants
    (``variants.py``), which explain deviations and serve as mutants of the oracle.
    """

    dialect: Dialect = REFERENCE

    # Forward
    epsilon: Literal["inside", "outside", "missing", "squared", "floor"] = "inside"
    radicand_in: Literal["own", "float16"] = "own"
    epsilon_evaluate: Literal["as in train", "outside", "missing"] = "as in train"
    output_variance: Literal["population", "sample"] = "population"
    axes: Literal["channel", "position", "instance", "all"] = "channel"
    mask: Literal["used", "ignored", "count padded"] = "used"
    train_uses: Literal["as declared", "running"] = "as declared"
    evaluate_uses: Literal["running", "batch", "initial", "updated"] = "running"
    gamma: Literal["used", "ignored", "absolute", "plus one", "after beta"] = "used"
    beta: Literal["used", "ignored"] = "used"

    # State
    updates: Literal["once", "never", "twice", "in evaluate too", "with backward", "with each backward"] = "once"
    updated: Literal["both", "mean only", "variance only"] = "both"
    mean_factor: Literal["one", "bessel"] = "one"
    variance_count: Literal["values", "rows", "channels", "plus one"] = "values"
    variance_kept: Literal[
        "variance", "standard deviation", "inverse standard deviation", "second moment", "with epsilon", "recovered"
    ] = "variance"
    cumulative: Literal["average", "momentum 0.1", "momentum 0", "late", "last"] = "average"
    start: Literal["given", "debiased from one"] = "given"
    update_arithmetic: Literal["working precision", "state's precision"] = "working precision"
    own_variance: Literal["one", "zero"] = "one"

    reload: Literal["kept", "lost"] = "kept"

    # Gradients
    train_gradient: Literal["full", "detached", "mean detached", "variance detached", "sample"] = "full"
    evaluate_gradient: Literal["constant", "through statistics", "zero"] = "constant"
    dx_gamma: Literal["used", "missing"] = "used"
    dgamma: Literal["exact", "average", "uncentred", "unscaled", "zero", "batch in evaluate"] = "exact"
    dbeta: Literal["exact", "average", "scaled", "zero", "input precision"] = "exact"
    backward_of: Literal["its forward", "latest forward", "current state"] = "its forward"
    gradient_terms: Literal["working precision", "input precision"] = "working precision"
    repeated: Literal["same", "accumulates"] = "same"

    # Folding and exporting
    folded_statistics: Literal["running", "batch"] = "running"
    folded_epsilon: Literal["kept", "missing", "as given"] = "kept"
    folded_bias: Literal["kept", "lost", "unscaled"] = "kept"
    folded_axis: Literal["units", "features"] = "units"
    exported_statistics: Literal["running", "batch"] = "running"
    exported_epsilon: Literal["kept", "float32", "1e-5"] = "kept"
    exporting: Literal["leaves the state", "moves the state"] = "leaves the state"

    # Higher order
    second_order: Literal["full", "statistics constant", "zero"] = "full"
    third_order: Literal["full", "statistics constant", "mean constant in the variance"] = "full"
    forward_mode: Literal["full", "statistics constant", "statistics constant in the second"] = "full"
    variance_centre: Literal["mean", "held constant"] = "mean"

    # Precision
    variance_algorithm: Literal["two-pass", "one-pass", "one-pass unclipped"] = "two-pass"
    batch_statistics: Literal["working precision", "parameters' precision", "input's precision in the backward"] = (
        "working precision"
    )
    computed_in: Literal["own", "float32", "float16", "bfloat16"] = "own"
    state_starts_in: Literal["own", "float32"] = "own"
    state_kept_in: Literal["own", "float32", "bfloat16", "float16"] = "own"

    def __post_init__(self) -> None:
        for decision, options in _OPTIONS.items():
            if getattr(self, decision) not in options:
                raise ValueError(f"rules: {decision} is {getattr(self, decision)!r}; expected one of {options}")

    def __hash__(self) -> int:
        """Return what is made of all decisions at the first call: predictions are looked up by them again and again."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, decision.name) for decision in fields(self)))

    @property
    def train_statistics(self) -> str:
        """What training normalises with: ``batch``, ``updated`` running statistics, or ``running``, those before."""
        return self.dialect.train_statistics if self.train_uses == "as declared" else self.train_uses


def decisions() -> dict[str, tuple[str, ...]]:
    """Return the options of every decision that is not a choice of dialect, the right one first."""
    return dict(_OPTIONS)


_HINTS = get_type_hints(Rules)
_OPTIONS: dict[str, tuple[str, ...]] = {
    decision.name: get_args(_HINTS[decision.name])
    for decision in fields(Rules)
    if decision.name != "dialect"
}
