"""Patience: how many cases are left out after crashes in a row, and when none is."""

from __future__ import annotations

import pytest

from conformance.host.patience import IN_A_ROW, LOST, Patience


def asked(patience: Patience, cases: int) -> list[int]:
    """Return which of so many cases are asked that all crash."""
    found = []
    for number in range(cases):
        if patience.asks():
            found.append(number)
            patience.failed(LOST)
    return found


def test_pauses_grow() -> None:
    """After ten crashes ten are left out, then twenty, then forty."""
    assert [*range(IN_A_ROW), 20, 41, 82] == asked(Patience(), 100)


@pytest.mark.parametrize(("crashes", "seconds"), [(IN_A_ROW - 1, 2 * LOST), (100, LOST - 1)], ids=["few", "quick"])
def test_few_or_quick_crashes_cost_nothing(crashes: int, seconds: float) -> None:
    """Fewer than ten in a row, or less than five minutes of them, leave out nothing."""
    assert Patience(crashes, seconds).asks()
