"""runners/flux cannot be run where the suite is developed: what can be checked of it without Julia is checked here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomllib

from conformance.corpus.case import Layer
from conformance.definition.dialect import Dialect, choices, options
from conformance.host.messages import Call
from conformance.modelled.systems import MODELS

tree_sitter = pytest.importorskip("tree_sitter", reason="the parser is not installed")
tree_sitter_julia = pytest.importorskip("tree_sitter_julia", reason="the grammar is not installed")

RUNNER = Path(__file__).parents[2] / "runners" / "flux"
FILES = sorted(RUNNER.rglob("*.jl"))
PROGRAMS = {"flux": RUNNER / "flux.jl", "lux": RUNNER / "lux" / "lux.jl"}


def parsed(text: str) -> Any:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_julia.language())).parse(text.encode()).root_node


def faults(node: Any) -> Iterator[str]:
    """Yield the line of every node that the grammar could not make sense of."""
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point[0] + 1}: {node.type}"
    for child in node.children:
        yield from faults(child)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_parses(path: Path) -> None:
    """The file is Julia."""
    assert [] == list(faults(parsed(path.read_text())))


def test_what_is_no_julia_is_seen() -> None:
    """The check can fail."""
    assert list(faults(parsed("function f(x\n  x +\nend")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_included_file_is_there(path: Path) -> None:
    """What a file includes lies beside it."""
    assert all((path.parent / name).is_file() for name in re.findall(r'include\("([^"]+)"\)', path.read_text()))


@pytest.mark.parametrize("path", PROGRAMS.values(), ids=PROGRAMS)
def test_every_package_is_in_the_project(path: Path) -> None:
    """What is imported is in Project.toml, bounded unless it comes with Julia, and nothing else is."""
    project = tomllib.loads((path.parent / "Project.toml").read_text())
    text = path.read_text() + (RUNNER / "answer.jl").read_text()
    imported = {name.strip() for line in re.findall(r"^import (.+)$", text, re.MULTILINE) for name in line.split(",")}
    assert imported == set(project["deps"])
    assert imported - {"Random", "Serialization"} | {"julia"} == set(project["compat"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_dialect_is_that_of_the_model(name: str) -> None:
    """The program declares what the modelled column predicts, so that the one can take the place of the other."""
    block = re.search(r"^dialect\(.*?^\)", PROGRAMS[name].read_text(), re.DOTALL | re.MULTILINE)
    assert block is not None
    declared = dict(re.findall(r'"(\w+)" => "([\w -]+)"', block[0]))
    assert all(choice in choices() and option in options(choice) for choice, option in declared.items())
    layer = Layer(
        channels=1, rank=2, momentum=0.1, epsilon=1e-5, gamma=True, beta=True, tracked=True, dtype="float32",
        param_dtype="float32", channel_axis="native",
    )  # fmt: skip
    assert Dialect(**declared) == MODELS[name].dialect_for(layer)  # type: ignore[arg-type]


def test_every_kind_of_call_is_known() -> None:
    """Each field of a call is looked at: one that was forgotten would be taken for a plain forward."""
    text = (RUNNER / "play.jl").read_text()
    forwards = {"train", "evaluate", "automatic"}
    unnamed = {field for field in Call.__struct_fields__ if f'"{field}"' not in text} - forwards
    assert set() == unnamed
    assert all(f":{mode}" in text for mode in forwards)


def test_every_ability_is_defined() -> None:
    """What a program adds to an ability has the name of one."""
    text = (RUNNER / "play.jl").read_text()
    listed = re.search(r"const ABILITIES = \((.*?)\)", text, re.DOTALL)
    assert listed is not None
    abilities = set(re.findall(r":(\w+!?)", listed[1]))
    required = {"describe", "dialect", "lacks", "create", "forward", "get_state", "put_state!"}
    for path in PROGRAMS.values():
        defined = set(re.findall(r"^(?:function )?(\w+!?)\(", path.read_text(), re.MULTILINE))
        assert required <= defined
        assert abilities & defined
