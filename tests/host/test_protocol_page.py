"""docs/protocol.md, held against the messages that it describes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conformance.corpus.case import Layer
from conformance.definition.dialect import Dialect, choices
from conformance.host.frames import HEADER_LIMIT, TOTAL_LIMIT
from conformance.host.messages import Call, Described, Failed, Ran

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
KINDS = [Described, Layer, tuple[Call, ...], Ran, Failed]
NAMES = ["describe", "layer", "program", "run", "fault"]


@pytest.mark.parametrize(("example", "kind"), list(zip(EXAMPLES, KINDS, strict=True)), ids=NAMES)
def test_examples_are_messages(example: object, kind: Any) -> None:
    """Every example of the page is a message of its kind."""
    assert msgspec.convert(example, kind)


@pytest.mark.parametrize("name", sorted({*Call.__struct_fields__, *Layer.__struct_fields__, *Ran.__struct_fields__}))
def test_every_field_is_described(name: str) -> None:
    """Every field of a request or an answer is in the page."""
    assert f"`{name}`" in PAGE or f'"{name}"' in PAGE


def test_dialect_of_the_example_is_the_default() -> None:
    """The dialect shown is the default, which is what a host gets that leaves choices out."""
    shown = EXAMPLES[KINDS.index(Ran)]["dialect"]
    assert {name: getattr(Dialect(), name) for name in shown} == shown
    assert set(shown) <= set(choices())


def test_limits() -> None:
    """The limits shown are those that are kept."""
    assert f"{HEADER_LIMIT // 2**20} MiB, or data of more than {TOTAL_LIMIT // 2**30} GiB" in PAGE
