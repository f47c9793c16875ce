"""Tables as text: aligned for a terminal, or Markdown fit for a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

__all__ = ["FORMATS", "Format", "markdown_table", "pretty_table"]

Format: TypeAlias = Literal["pretty", "markdown", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)


def pretty_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: bool = True) -> str:
    """Return columns aligned with spaces; ``numeric`` puts all but the first to the right."""
    align = str.rjust if numeric else str.ljust
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join((row[0].ljust(widths[0]), *(align(c, w) for c, w in zip(row[1:], widths[1:], strict=True))))
        for row in (head, ["-" * width for width in widths], *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: bool = True) -> str:
    """Return a Markdown table; what a cell holds cannot end the cell or start markup."""
    marks = ["---", *(("---:" if numeric else "---") for _ in head[1:])]
    lines = [_plain(head), marks, *(_plain(row) for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _plain(cells: Sequence[str]) -> list[str]:
    return [re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(" ".join(cell.split()), quote=False)) for cell in cells]
