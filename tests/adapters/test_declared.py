"""What is listed of dialects is what the adapters of the suite declare."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from conformance.adapters import registry
from conformance.adapters.built_in import BUILT_IN
from conformance.adapters.declared import DECLARED, in_short, parting
from conformance.corpus.case import Case
from conformance.definition.dialect import REFERENCE, Dialect
from conformance.host.observation import Observation
from conformance.host.session import HostSession

NAMES = list(dict.fromkeys(name.partition(":")[0] for name in BUILT_IN))
PLAIN = {"id": "made/up", "fact": "Made up.", "clauses": ["1.1"], "steps": [{"evaluate": "a"}]}
SHAPES, AXES, DTYPES = ("5x3", "5x3x2x4"), ("native", "last"), ("float32", "float64")


def test_every_adapter_is_listed() -> None:
    """Every adapter of the suite has an entry, and no other."""
    assert set(NAMES) == DECLARED.keys()


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NAMES])
def test_it_is_what_the_adapter_says(name: str) -> None:
    """Over ranks, layouts and dtypes an adapter declares the options that are listed, and no others."""
    if name in (missing := registry.missing()):
        pytest.skip(f"{name} is not installed: {missing[name]}")
    said: dict[str, set[str]] = {}
    with HostSession(name, time_limit=240) as session:
        for shape, axis, dtype in product(SHAPES, AXES, DTYPES):
            made: Any = {**PLAIN, "shape": shape, "channel_axis": axis, "dtype": dtype}
            seen = session.observe(msgspec.convert(made, Case))
            assert isinstance(seen, Observation), seen
            for choice in (*parting(seen.dialect), *DECLARED[name]):
                said.setdefault(choice, set()).add(getattr(seen.dialect, choice))
    assert {choice: set(option.split(" / ")) for choice, option in DECLARED[name].items()} == said


def test_in_short() -> None:
    """The paper's own dialect has a word, and so has each choice in which one parts from it."""
    assert "as the paper" == in_short(parting(REFERENCE))
    far = Dialect(train_statistics="updated", momentum="old", first_update="replace", constants="float32")
    assert "updated statistics in train, momentum of the old, float32 constants, first update: replace" == in_short(
        parting(far)
    )
