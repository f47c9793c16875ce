"""``conformance fuzz --cluster``: the blocks of a search, spread over workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from conformance.cli.main import main

pytest.importorskip("hypothesis", reason="needs Hypothesis")
TESTS = Path(__file__).parents[1]


def test_the_same_is_found_as_on_one_machine(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers find the minimal case that a local search finds."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS / "fakes"), os.environ.get("PYTHONPATH", "")]))
    for _ in range(2):
        cluster.worker()
    asked = ["fuzz", "third_party:MomentumSwapped", "--examples=2500", "--quiet"]
    assert 1 == main(asked)
    near = capsys.readouterr().out.partition("\n")[2]
    assert 1 == main([*asked, f"--cluster={cluster.address}"])
    assert near == capsys.readouterr().out.partition("\n")[2]
