"""Which adapters a run asks."""

from __future__ import annotations

import pytest

from conformance.adapters import registry
from conformance.adapters.registry import AdapterSpec
from conformance.engine.adapters import adapters_to_run, not_installed
from conformance.errors import AdapterError, UsageError


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = {
        "numpy": AdapterSpec("numpy", "conformance.adapters.numpy:Adapter"),
        "here": AdapterSpec("here", "here:Adapter"),
        "here:jit": AdapterSpec("here:jit", "here:Jit", execution="jit", default=False),
        "away": AdapterSpec("away", "away:Adapter", ("no-such-distribution",), "pip install away"),
    }
    monkeypatch.setattr(registry, "known", lambda: specs)


def test_the_default_ones() -> None:
    """Where none is named, the installed ones that run by default are asked."""
    assert ["numpy", "here"] == adapters_to_run([])
    assert {"away": "pip install away"} == not_installed([])


def test_all_that_are_installed() -> None:
    """Where all are asked for, so are the optional ones."""
    assert ["numpy", "here", "here:jit"] == adapters_to_run([], everything=True)


def test_all_and_some() -> None:
    """Asking for all and naming some is refused."""
    with pytest.raises(UsageError, match="give one of the two"):
        adapters_to_run(["here"], everything=True)


def test_what_nobody_asked_for_is_not_missing() -> None:
    """Beside named ones nothing is told to be missing."""
    assert {} == not_installed(["here"])


def test_the_canary_is_always_asked() -> None:
    """The canary comes first, once, whoever is named."""
    assert ["numpy", "here"] == adapters_to_run(["here"])
    assert ["numpy", "here"] == adapters_to_run(["here", "numpy", "here"])


def test_module_and_class() -> None:
    """An adapter from outside is taken as it is."""
    assert ["numpy", "mine:Adapter"] == adapters_to_run(["mine:Adapter"])


def test_what_is_not_installed_is_told_with_its_remedy() -> None:
    """An adapter that lacks its framework is refused before anything runs."""
    with pytest.raises(AdapterError, match=r"adapter away: what it needs is not installed\n  hint: pip install away"):
        adapters_to_run(["away"])


def test_an_unknown_name_is_told_with_near_ones() -> None:
    """A name that nobody has is refused, with those that are near."""
    with pytest.raises(AdapterError, match="no adapter is named 'hre'; did you mean here"):
        adapters_to_run(["hre"])
