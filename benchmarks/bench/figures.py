"""The list of figures: what each is, and what it is to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["FIGURES", "Target", "at_least", "at_most", "told"]

@dataclass(frozen=True)
class Target:
    """What a figure is, in a few words, and what it is to reach; ``reached`` tells whether it does."""

    what: str
    unit: str = ""
    text: str = ""
    reached: Callable[[float], bool] = lambda _: True


def at_most(limit: float, what: str, unit: str = "") -> Target:
    """Return a target from above."""
    return Target(what, unit, f"at most {limit:g}", lambda value: value <= limit)


def at_least(limit: float, what: str, unit: str = "") -> Target:
    """Return a target from below."""
    return Target(what, unit, f"at least {limit:g}", lambda value: value >= limit)


def told(value: float) -> str:
    """Return a figure as a reader wants it: three digits that say something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


#: The figures by the module that measures them, in the order of measuring: what is quick comes first.
FIGURES: dict[str, dict[str, Target]] = {
    "collecting": {
        "collect_seconds": Target("pytest collects the default set", "s"),
    },
    "oracle": {
        "oracle_over_torch_time": at_most(1.0, "the oracle's forward and backward over PyTorch's"),
        "oracle_with_bounds_over_torch_time": Target("with the bounds of every element"),
    },
    "gradcheck": {
        "gradcheck_rate_ratio": at_least(20, "gradient elements judged in a second, over gradcheck's"),
        "gradcheck_corpus_rate_ratio": Target("the same, with the small cases that the corpus asks"),
        "gradcheck_jacobian_rate_ratio": Target("the same, over the entries of gradcheck's Jacobians"),
        "gradient_elements_per_second": Target("judged by the suite", "1/s"),
    },
    "gradgradcheck": {
        "gradgradcheck_rate_ratio": Target("second derivatives' elements judged in a second, over gradgradcheck's"),
    },
    "check_grads": {
        "check_grads_rate_ratio": Target("gradients judged in a second, over JAX's check_grads"),
    },
    "onnx_tests": {
        "onnx_rate_ratio": Target("quantities judged in a second, over ONNX' node tests"),
    },
    "overhead": {
        "overhead_ms_per_cell": at_most(1.0, "own cost of a cell, median", "ms"),
        "overhead_ms_alone": Target("the same, of the first implementation", "ms"),
        "overhead_ms_in_turn": Target("the same, with nothing asked ahead", "ms"),
        "overhead_percent_on_slow_cells": at_most(15, "on top of cells over 10 ms", "%"),
        "slow_cells": Target("how many those were"),
    },
    "report_size": {
        "report_100k_seconds": Target("100,000 cells read and written as a page", "s"),
        "report_100k_mb": Target("the page", "MB"),
        "report_100k_peak_mb": Target("memory at most", "MB"),
        "results_100k_mb": Target("the results file of 100,000 cells", "MB"),
    },
    "growth": {
        "scaling_exponent": at_most(1.05, "seconds grow as cells to the power of"),
        "controller_growth_mb_100k": at_most(50, "memory at 100,000 cells over that at 1,000", "MB"),
        "cells_per_second_100k": Target("of the run of 100,000", "1/s"),
        "recorded_cells_per_second": Target("cells that come from a cluster, decoded and written", "1/s"),
    },
    "default_run": {
        "default_run_seconds_cold": at_most(240, "whole default run, nothing compiled before", "s"),
        "default_run_seconds_warm": at_most(120, "once more", "s"),
        "default_run_cells": Target("cells of the default run"),
    },
}
