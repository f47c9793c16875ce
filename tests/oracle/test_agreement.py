"""Both oracles on the whole corpus, in the reference dialect and in every other option of every choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.corpus.load import load_corpus
from conformance.definition.dialect import UNDECLARED, Dialect, choices, options
from conformance.definition.precision import precision_of
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate

BASE = Dialect(
    statistics_gradient="leaf", update_gradient="differentiable", recomputation="once", frozen="A", untracked="batch",
    state_dtype="parameters", exported="running",
)  # fmt: skip
#: Every other option of every choice that the dialect has.
OPTIONS: dict[str, dict[str, Any]] = {
    f"{choice}: {option}": {choice: option}
    for choice in choices()
    for option in options(choice)
    if option not in (UNDECLARED, getattr(BASE, choice))
}
#: An option that changes nearly every case is tried on so many.
MOST = 60
CASES = tuple(case for case in load_corpus() if not case.open)
# How much finer the first oracle is in long double, for float64 cases, than float64 itself.
FINER = precision_of(np.longdouble).unit / precision_of(np.float64).unit


def by_rounding(case: Case, dialect: Dialect) -> Callable[[Any], dict[tuple[int, str], Any]]:
    """Allow what rounding explains: the tight bounds of the same numbers in float64."""
    double = msgspec.structs.replace(case, dtype="float64", param_dtype="float64")
    given = {name: array.astype(np.float64) for name, array in generate(case).items()}
    bounds = simulate(double, given, Rules(dialect=dialect))
    finer = FINER if "float64" in (case.dtype, case.layer.param_dtype) else 1.0
    return lambda first: {key: np.nan_to_num(bounds[key].tight) * finer for key in first}


def concerned(option: str) -> list[Case]:
    """Return every third of the cases in which an option changes what the first oracle predicts, or fewer."""
    dialect = replace(BASE, **OPTIONS[option])
    cases = CASES[::3] if "constants" in OPTIONS[option] else CASES
    if "train_statistics" in OPTIONS[option]:  # of convergence and networks the second oracle has the other formula
        cases = tuple(case for case in CASES if case.network is None and not any(step.converge for step in case.steps))
    found = [case for case in cases if _differs(case, dialect)]
    return found[:: max(3, -(-len(found) // MOST))]


def _differs(case: Case, dialect: Dialect) -> bool:
    arrays = generate(case)
    one, other = simulate(case, arrays, Rules(dialect=BASE)), simulate(case, arrays, Rules(dialect=dialect))
    return one.keys() != other.keys() or any(
        isinstance(expected, Expected) and not np.array_equal(expected.value, other[key].value, equal_nan=True)
        for key, expected in one.items()
    )


def in_parts(cases: tuple[Case, ...], parts: int) -> list[tuple[Case, ...]]:
    return [cases[k::parts] for k in range(parts)]


@pytest.mark.parametrize("cases", in_parts(CASES, 8), ids=range(8))
def test_reference(misfits: Callable[..., list[str]], cases: tuple[Case, ...]) -> None:
    """Both oracles say the same of every quantity, within the rounding of the first."""
    assert [] == [misfit for case in cases for misfit in misfits(case, BASE, by_rounding(case, BASE))]


@pytest.mark.parametrize("option", OPTIONS)
def test_options(misfits: Callable[..., list[str]], option: str) -> None:
    """Both oracles mean the same by an option of a choice."""
    dialect = replace(BASE, **OPTIONS[option])
    cases = concerned(option)
    assert cases
    assert [] == [misfit for case in cases for misfit in misfits(case, dialect, by_rounding(case, dialect))]
