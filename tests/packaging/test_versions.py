"""Versions are said once: constraints, tox.ini and the pages about them agree."""

from __future__ import annotations

import configparser
import itertools
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from conformance.adapters.registry import known

tomllib = pytest.importorskip("tomllib", reason="pyproject.toml is read by Python 3.11 and later")

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: Environment's framework: the package that names the column, and the adapter.
COLUMNS = {
    "jax": ("flax", "flax-linen"),
    "keras": ("keras", "keras-tensorflow"),
    "tensorflow": ("tensorflow-cpu", "tensorflow-fused"),
    "mlx": ("mlx", "mlx"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "old-keras": ("keras", "keras-2"),
    "torch": ("torch", "torch"),
    "mxnet": ("mxnet", "mxnet"),
}


def pins(lines: list[str]) -> dict[str, str]:
    """Return package to version of lines such as `jax==0.10.2`."""
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert [] == [str(one) for one in requirements if [item.operator for item in one.specifier] != ["=="]]
    return {canonicalize_name(one.name): next(iter(one.specifier)).version for one in requirements}


def tox_settings() -> configparser.ConfigParser:
    settings = configparser.ConfigParser(interpolation=None, comment_prefixes="#")
    settings.read(ROOT / "tox.ini", encoding="utf-8")
    return settings


def environments() -> dict[str, dict[str, str]]:
    """Return the environments of tox.ini, each with its pins."""
    settings = tox_settings()
    listed = settings["tox"]["env_list"].split("\n")
    names = list(itertools.chain.from_iterable(map(expanded, filter(None, listed))))
    entries = [line.split(": ") for line in settings["testenv"]["deps"].split("\n") if line]
    for line in filter(None, settings["testenv"]["commands_pre"].split("\n")):
        factor, _, command = line.partition(": ")
        entries += [[factor, pin] for pin in command.partition("--no-deps ")[2].split()]
    return {
        name: pins([pin for factors, pin in entries if factors == name or factors == name.partition("-")[0]])
        for name in names
    }


def expanded(entry: str) -> list[str]:
    """Return the names that `jax-{0.4.38, 0.7.2}` stands for."""
    prefix, _, versions = entry.partition("{")
    return [prefix + version.strip() for version in versions.rstrip("}").split(",")]


def columns() -> dict[str, str]:
    """Return the column of each environment, as `name@version`."""
    found = {}
    for name, versions in environments().items():
        package, adapter = COLUMNS[name.rpartition("-")[0]]
        found[name] = f"{adapter}@{versions[package]}"
    return found


def test_every_direct_dependency_is_pinned() -> None:
    """What pyproject.toml asks for by name has a version in the constraints, and one that it takes."""
    pinned = pins(CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    asked = [Requirement(line) for line in (*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"])]
    assert [] == [one.name for one in asked if canonicalize_name(one.name) not in pinned]
    assert [] == [str(one) for one in asked if not one.specifier.contains(pinned[canonicalize_name(one.name)])]


def test_the_frameworks_are_pinned() -> None:
    """What `make report` installs to put under test has a version in the constraints."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^FRAMEWORKS := (.*)$", makefile, flags=re.MULTILINE)
    pinned = pins(CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    assert ["torch", "tensorflow-cpu", "jax", "flax", "keras"] == line.split()
    assert [] == [name for name in line.split() if name not in pinned]


@pytest.mark.parametrize(("name", "versions"), environments().items(), ids=environments())
def test_an_environment_installs_what_it_is_called(name: str, versions: dict[str, str]) -> None:
    """The version in the name of an environment is that of its framework."""
    framework, _, version = name.removeprefix("old-").partition("-")
    assert version == versions.get(framework, versions.get(f"{framework}-cpu"))


def test_there_are_versions_to_compare() -> None:
    """JAX, Keras, TensorFlow and MLX have three environments, old Keras five, ONNX Runtime two, others one."""
    count = {framework: sum(name.startswith(f"{framework}-") for name in environments()) for framework in COLUMNS}
    needed = dict(zip(COLUMNS, (3, 3, 3, 3, 2, 5, 1, 1), strict=True))
    assert [] == [framework for framework in COLUMNS if count[framework] < needed[framework]]


def test_columns_are_unique() -> None:
    """No two environments give their column the same id, which could not be merged."""
    assert len(columns()) == len(set(columns().values()))


def test_adapters_of_environments_exist() -> None:
    """Every adapter that tox runs comes with the suite."""
    named = set(re.findall(r"--adapter (\S+)", tox_settings()["testenv"]["commands"]))
    old = "conformance.adapters.keras_2:Adapter"  # the name of its distribution is that of today's Keras
    assert {adapter for _, adapter in COLUMNS.values() if adapter != "keras-2"} | {old, "tensorflow-nn"} == named
    assert named - {old} <= known().keys()


def test_the_page_lists_the_environments() -> None:
    """docs/versions.md has a row for each environment, with its pins and its column."""
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    rows = page.partition("<!-- environments -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    shown = [tuple(cell.strip().strip("`") for cell in row.strip("|").split("|")) for row in rows]
    wanted = [(name, frozenset(pinned.items()), columns()[name]) for name, pinned in environments().items()]
    assert wanted == [(name, pairs(installs), column) for name, installs, column in shown]


def pairs(installs: str) -> frozenset[tuple[str, str]]:
    """Return the packages and versions of `jax 0.4.38, flax 0.10.2`."""
    return frozenset((name, str(Version(version))) for name, version in map(str.split, installs.split(",")))
