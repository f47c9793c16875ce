"""The optional adapters of JAX, Keras and TensorFlow: each answers a handful of cases as it declares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from conformance.adapters import registry
from conformance.corpus.case import Case
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.engine.cell import cell_of
from conformance.host.observation import Observation
from conformance.host.session import HostSession
from conformance.verdict.deviations import load_deviations

#: What each must be able to answer, agreeing or as declared: it is too little to be all unsupported.
ADAPTERS = [
    "flax-linen:jit", "flax-linen-two-pass", "flax-nnx", "haiku", "equinox-batch", "equinox-ema", "stax",
    "keras-tensorflow:graph", "keras-tensorflow:xla", "keras-jax", "keras-torch",
    "tf-keras-fused", "tf-keras-unfused", "tf-keras-v1", "tensorflow-fused", "tensorflow-nn:graph",
]  # fmt: skip
CASES = [
    "gradients_train/all[shape=4x3x7,dtype=float32]", "layout/rank[shape=5x3x2x4,mode=train]",
    "saving/evaluate-after-loading[dtype=float32,shape=5x3x2x4]", "untracked/train[dtype=float32]",
    "frozen/training-equals-evaluate[shape=5x3x2x4]", "update_gradient/earlier-batch[shape=4x3x7,dtype=float32]",
    "exporting/after-training[dtype=float32]", "scenarios/networks/outputs[dtype=float32]",
    "scenarios/networks/second-derivatives[dtype=float32]",
]  # fmt: skip
FINE = {"agrees", "rough", "deviates", "unsupported"}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ADAPTERS])
def session(request: pytest.FixtureRequest) -> Iterator[HostSession]:
    spec = registry.find(request.param)
    if not spec.is_installed:
        pytest.skip(f"{spec.name} is not installed: {spec.remedy}")
    with HostSession(request.param, time_limit=120) as one:
        yield one


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return select(load_corpus(), CASES)


def test_the_column_is_that_of_the_table(session: HostSession) -> None:
    """An adapter tells the name, the execution and the first version that the table has for it."""
    spec, who = registry.find(session.adapter), session.implementation
    name, _, execution = spec.name.partition(":")
    assert (name, execution or "eager") == (who.name, who.execution)
    assert spec.execution == who.execution
    assert spec.version == next(iter(who.versions.values()))


def test_a_handful_of_cases(session: HostSession, cases: tuple[Case, ...]) -> None:
    """Whatever it answers agrees, or deviates as declared or recorded, and something it answers."""
    rows = [cell_of(case, session, load_deviations()).row for case in cases]
    assert [] == [(row.case, row.explanation) for row in rows if row.verdict not in FINE]
    assert {"agrees", "rough", "deviates"} & {row.verdict for row in rows}


def test_the_same_twice(session: HostSession, cases: tuple[Case, ...]) -> None:
    """A case asked again is answered bit for bit the same, in output and gradients."""
    (case,) = (case for case in cases if case.id == CASES[1])
    seen = [session.observe(case) for _ in range(2)]
    first, second = (one.outcomes for one in seen if isinstance(one, Observation))
    assert {(1, name) for name in ("y", "dx", "dgamma", "dbeta")} <= first.keys() == second.keys()
    for key, outcome in first.items():
        assert isinstance(outcome, np.ndarray)
        np.testing.assert_array_equal(outcome, second[key], strict=True)
