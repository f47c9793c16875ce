"""Writes ``docs/transcripts.md``: the verbs that answer questions, tried on five implementations.

    python tools/transcripts.py --write

Numbers are those of the machine that wrote them; a test holds everything else of the canary's to what is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from pathlib import Path

from conformance.cli.main import main as conformance

__all__ = ["COMMANDS", "PAGE", "masked", "section", "transcript"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "transcripts.md"
IMPLEMENTATIONS = ("torch", "keras-tensorflow", "flax-linen", "numpy", "keras-jax")
_CASE = "running_stats/probe[dtype=float32]"
_HEAD = """# Transcripts

What the verbs that answer questions print on five implementations (`python tools/transcripts.py --write` writes this
page; of `numpy` all but the numbers is tested to be current, of the others that every verb is shown).
[Questions](questions.md) says what they are for.
"""


def _commands(name: str) -> tuple[tuple[str, ...], ...]:
    target = "keras-tensorflow" if name == "torch" else "torch"
    return (
        ("identify", name), ("convert", name, target, "--values", "8"), ("explain", _CASE, name),
        ("explain", "updates", "--implementation", name), ("repro", _CASE, name),
    )  # fmt: skip


COMMANDS = {name: _commands(name) for name in IMPLEMENTATIONS}


def transcript(command: tuple[str, ...]) -> str:
    """Run a command and return what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        conformance(command)
    return out.getvalue().rstrip()


def section(command: tuple[str, ...], text: str) -> str:
    """Return the command and its output as a part of the page."""
    line = " ".join(f"'{word}'" if "[" in word else word for word in command)
    return f"```console\n$ conformance {line}\n```\n\n```{'python' if command[0] == 'repro' else 'text'}\n{text}\n```\n"


def masked(text: str) -> str:
    """Return the text without its numbers and versions, and without how far columns are apart."""
    without = re.sub(r"-?\d[\w.+-]*", "#", text)
    return "\n".join(re.sub(r"\s+", " ", line).strip() for line in without.splitlines())


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for name, commands in COMMANDS.items():
        parts.append(f"## {name}\n")
        parts += [section(command, transcript(command)) for command in commands]
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="write the page instead of printing it")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())
