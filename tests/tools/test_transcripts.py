"""``docs/transcripts.md`` shows what the verbs print today, but for the numbers."""

from __future__ import annotations

import pytest

from tools import transcripts

PAGE = transcripts.PAGE.read_text(encoding="utf-8")
#: Of the implementation that is always there; its conversion asks another one.
COMMANDS = [one for one in transcripts.COMMANDS["numpy"] if one[0] != "convert"]


@pytest.mark.parametrize("name", transcripts.COMMANDS)
def test_every_verb_is_shown_on_every_implementation(name: str) -> None:
    """The five implementations have a section with all four verbs, none of which ended in an error."""
    part = PAGE.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for command in transcripts.COMMANDS[name]:
        shown = transcripts.section(command, "").partition("\n```\n")[0]
        assert shown in part
        said = part.partition(shown)[2].partition("\n```\n\n```")[2].partition("\n```")[0]
        assert len(said.splitlines()) > 3, command


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one[0] + "-" + one[1].partition("/")[0])
def test_the_page_is_what_is_printed(command: tuple[str, ...]) -> None:
    """The page has what the verb prints now, numbers aside."""
    assert transcripts.masked(transcripts.section(command, transcripts.transcript(command))) in transcripts.masked(PAGE)


def test_a_changed_word_is_noticed() -> None:
    """Only numbers are masked."""
    assert transcripts.masked("observed 1.25e-3, fits") == transcripts.masked("observed   17, fits")
    assert transcripts.masked("observed 1, fits") != transcripts.masked("observed 1, differs")
