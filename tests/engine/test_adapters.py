"""Which adapters a run asks."""

from __future__ import annotations

import pytest

from conformance.adapters import registry
from conformance.adapters.registry import AdapterSpec
from conformance.engine.adapters import adapters_to_run
from conformance.errors import AdapterError


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = {
        "numpy": AdapterSpec("numpy", "conformance.adapters.numpy:Adapter"),
        "here": AdapterSpec("here", "here:Adapter"),
        "away": AdapterSpec("away", "away:Adapter", ("no-such-distribution",), "pip install away"),
    }
    monkeypatch.setattr(registry, "known", lambda: specs)


def test_all_that_are_installed() -> None:
    """Where none is named, all that are installed are asked."""
    assert ["numpy", "here"] == adapters_to_run([])


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
