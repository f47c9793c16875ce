"""What the tests of the host share: fake adapters that hosts can import, and small cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.host.session import HostSession

_PLAIN = {
    "id": "made/up", "fact": "The input is made up.", "clauses": ["1.1"], "shape": "4x3", "steps": [{"train": "a"}],
}  # fmt: skip


@pytest.fixture
def case() -> Callable[..., Case]:
    """Return a maker of cases: of one training step, unless told otherwise."""

    def make(**changes: Any) -> Case:
        return msgspec.convert({**_PLAIN, **changes}, Case)

    return make


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., HostSession]]:
    """Return a maker of sessions with the adapters of ``fakes.py``; they are closed at the end."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    opened: list[HostSession] = []

    def make(fake: str, **options: Any) -> HostSession:
        opened.append(HostSession(f"fakes:{fake}", **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
