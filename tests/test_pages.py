"""Pages of the documentation that messages name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.pages import page

ROOT = Path(__file__).resolve().parents[1]


def named() -> list[str]:
    """Return every page that a module asks the path of."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "conformance").rglob("*.py")]
    return sorted({name for text in texts for name in re.findall(r"\bpage\('([^']+)'\)", text)})


def test_pages_named_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page that a message names is a file of docs/, named from where the user stands."""
    monkeypatch.chdir(ROOT)
    assert {"hosts.md", "scale.md"} <= set(named())
    assert [f"docs/{name}" for name in named()] == [page(name) for name in named()]
    assert [] == [name for name in named() if not Path(page(name)).is_file()]


def test_path_is_whole_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder that does not hold the page its path is absolute."""
    monkeypatch.chdir(tmp_path)
    assert str(ROOT / "docs" / "hosts.md") == page("hosts.md")
