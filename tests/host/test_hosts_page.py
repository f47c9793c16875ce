"""The page about hosts shows files that can be read, and lists every key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from conformance.corpus.marks import parse, plain
from conformance.host.configuration import HostEntry, load_hosts, project_hosts
from conformance.host.configuration_schema import hosts_schema

PAGE = (Path(__file__).parents[2] / "docs" / "hosts.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return str(text)


def test_the_file_is_read(tmp_path: Path) -> None:
    """The file that the page shows names three hosts."""
    (tmp_path / "hosts.yaml").write_text(example("yaml"), encoding="utf-8")
    assert ["torch-1.13", "torch-1.13-mine", "tfjs:wasm"] == list(load_hosts(tmp_path / "hosts.yaml"))


def test_the_table_is_read(tmp_path: Path) -> None:
    """The table that the page shows names one."""
    (tmp_path / "pyproject.toml").write_text(example("toml"), encoding="utf-8")
    assert ["torch-1.13"] == list(project_hosts(tmp_path))


def test_every_key_is_listed() -> None:
    """The page has a row for each key of an entry, in their order."""
    table = PAGE.partition("<!-- fields of HostEntry -->\n")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert [field.name for field in msgspec.structs.fields(HostEntry)] == listed


def test_the_schema_takes_the_file() -> None:
    """The schema takes what the page shows."""
    jsonschema.validate(plain(parse(example("yaml"), "hosts.yaml")), hosts_schema())


REFUSED = {"key": {"comand": ["a"]}, "text": {"command": "a"}, "nothing": {"command": []}, "zero": {"start_limit": 0}}


@pytest.mark.parametrize("entry", REFUSED.values(), ids=REFUSED)
def test_the_schema_refuses(entry: dict[str, Any]) -> None:
    """The schema refuses unknown keys and wrong values."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"implementations": {"mine": {"command": ["a"], **entry}}}, hosts_schema())
