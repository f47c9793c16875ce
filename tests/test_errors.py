"""A message can be read, whatever it quotes."""

from __future__ import annotations

import pickle

import pytest

from conformance.errors import (
    AdapterError,
    CaseError,
    ClusterError,
    ConformanceError,
    HostError,
    ResultsError,
    UnstartedError,
    UsageError,
)

QUOTED = [
    pytest.param("\x1b[2J", r"found `\x1b[2J`", id="an escape of a terminal"),
    pytest.param("\x00", r"found `\x00`", id="nothing"),
    pytest.param("\ud7ff", r"found `\ud7ff`", id="half a pair"),
    pytest.param("Grüße ∑", "found `Grüße ∑`", id="letters"),
]


@pytest.mark.parametrize(("quoted", "said"), QUOTED)
def test_what_cannot_be_printed_is_escaped(quoted: str, said: str) -> None:
    """Control characters of a file do not reach the terminal; letters of any script do."""
    assert f"{said}\n  hint: {said}" == str(ConformanceError(f"found `{quoted}`", hint=f"found `{quoted}`"))


def test_what_is_very_long_is_cut() -> None:
    """Beginning and end of a long line are kept, and lines stay lines."""
    said = str(ConformanceError("found\n" + "a" + "9" * 100_000 + "b, expected 1"))
    assert said.startswith("found\na999")
    assert said.endswith("9b, expected 1")
    assert 2100 > len(said)


ERRORS = [
    UnstartedError("torch", "it does not start", hint="install it"),
    *(kind("what", hint="do") for kind in (UsageError, CaseError, AdapterError, HostError, ClusterError, ResultsError)),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_processes(error: ConformanceError) -> None:
    """Pickled, as a cluster does, an error keeps its class, its text, its hint and what else it has."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own, made a line above)
    assert (type(error), str(error), vars(error)) == (type(again), str(again), vars(again))
