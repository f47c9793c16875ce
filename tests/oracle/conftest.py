"""The second oracle as a package of its own, tests being none to import it from, and the first held against it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest

from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Expected
from conformance.definition.rules import Rules
from conformance.definition.simulate import simulate

Predicted: TypeAlias = Mapping[tuple[int, str], Expected]
#: How far the first may be from the second in each element, by step and quantity.
Allowed: TypeAlias = Mapping[tuple[int, str], Any]


@pytest.fixture(scope="session")
def precise() -> ModuleType:
    """Return the package that holds the second oracle."""
    init = Path(__file__).with_name("precise") / "__init__.py"
    spec = importlib.util.spec_from_file_location("precise_oracle", init)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("precise_oracle", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def misfits(precise: ModuleType) -> Callable[..., list[str]]:
    """Return what lists where the second oracle says anything else than the first, or nothing."""

    def listed(case: Case, dialect: Dialect, allow: Callable[[Predicted], Allowed]) -> list[str]:
        arrays = generate(case)
        predicted = simulate(case, arrays, Rules(dialect=dialect)).items()
        first = {key: expected for key, expected in predicted if isinstance(expected, Expected)}
        answers = precise.answers(case, arrays, dialect)
        silent = first.keys() - {(number, name) for number, name, _, _ in answers}
        return [*_apart(precise, case, first, answers, allow(first)),
                *(f"{case.id} {key}: the second oracle does not say" for key in silent)]  # fmt: skip

    return listed


def _apart(
    precise: ModuleType, case: Case, first: Predicted, answers: list[Any], allowed: Allowed
) -> Iterator[str]:
    for number, name, index, value in answers:
        error = precise.distance(first[number, name].value[index], value)
        most = allowed[number, name][index] + precise.OWN_ERROR
        if error > most:
            yield f"{case.id} step {number} {name}{list(index)}: {value}, off by {error:.3g}, allowed {most:.3g}"
