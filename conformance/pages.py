"""Where the pages lie that messages name: in ``docs/`` of a checkout, inside the package once it is installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["page"]

_PACKAGE = Path(__file__).resolve().parent


def page(name: str) -> str:
    """Return the path of a page of the documentation, such as ``hosts.md``: short where the user stands above it."""
    path = next(
        (path for folder in (_PACKAGE, _PACKAGE.parent) if (path := folder / "docs" / name).is_file()),
        Path("docs", name),
    )
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
