"""Progress is one line, rewritten on a terminal and rare elsewhere."""

from __future__ import annotations

import io

import pytest

from conformance.engine import progress
from conformance.engine.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_the_last_line_and_few_others() -> None:
    """Away from a terminal a run of a moment prints its end only."""
    stream = io.StringIO()
    shown = Progress(100, stream)
    for _ in range(100):
        shown.step("torch", "agrees")
    shown.close()
    assert "100/100 cells, 0 s; torch: agrees\n" == stream.getvalue()


def test_a_terminal_line_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the line is overwritten in place and ended once."""
    monkeypatch.setattr(progress, "_PACE", {True: 0.0, False: 0.0})
    stream = Terminal()
    shown = Progress(2, stream)
    shown.step("torch", "agrees")
    shown.step("torch", "differs")
    shown.close()
    first, second = "1/2 cells, 0 s; torch: agrees", "2/2 cells, 0 s; torch: differs"
    assert f"\r\x1b[K{first}\r\x1b[K{second}\n" == stream.getvalue()
