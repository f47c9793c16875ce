"""The example of a third party's adapter: what the documentation shows is what is tested."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from conformance.corpus.case import Case
from conformance.host.observation import Observation
from conformance.host.session import HostSession

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "my_adapter.py"


def test_the_page_shows_the_file() -> None:
    """docs/adapters.md holds the example word for word."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "adapters.md").read_text(), re.DOTALL)
    assert EXAMPLE.read_text() in blocks


def test_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example runs in a host, from the folder that it lies in: 1, 3, 5 leave 0.3 and 7/6, and sum(dx) is 0."""
    monkeypatch.chdir(EXAMPLE.parent)
    probe = {"kind": "values", "values": [1, 3, 5], "shape": "3x1"}
    fields = {
        "id": "a/probe", "fact": "The estimator shows.", "clauses": ["3.2"], "shape": "3x1", "x": probe,
        "state": "initial", "steps": [{"train": "a", "gradients": ["x"]}],
    }  # fmt: skip
    with HostSession("my_adapter:Adapter") as session:
        seen = session.observe(msgspec.convert(fields, Case))
    assert isinstance(seen, Observation)
    np.testing.assert_allclose(np.asarray(seen.outcomes[1, "running_mean"]), [0.3], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(seen.outcomes[1, "running_var"]), [7 / 6], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(seen.outcomes[1, "dx"]).sum(), 0, atol=1e-6)
    assert seen.dialect.running_variance == "population"
