"""Finding adapters by name."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from conformance.adapters import registry
from conformance.errors import AdapterError

ROOT = Path(__file__).parents[2]


def test_built_in_table_and_entry_points_agree() -> None:
    """Run from a checkout, the same adapters are found as from an installation."""
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml takes Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"]["conformance.adapters"]
    assert declared == {name: spec.target for name, spec in registry.BUILT_IN.items()}
    extras = {spec.install.partition("[")[2].rstrip("]'") for spec in registry.BUILT_IN.values()} - {""}
    assert extras <= set(project["optional-dependencies"])


def test_no_framework_is_imported() -> None:
    """Finding, and asking what is installed, imports no framework and no adapter."""
    script = (
        "import sys; from conformance.adapters import registry as r; r.find('torch'); r.installed(); r.missing();"
        "print(sorted({'torch', 'tensorflow', 'keras', 'jax', 'flax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_unknown_name() -> None:
    """An unknown name is answered with near ones, and with how to name one's own."""
    with pytest.raises(AdapterError, match=r"'torhc'; did you mean torch.*\?\n  hint: .*module:Class"):
        registry.find("torhc")


def test_a_module_that_is_nowhere() -> None:
    """A module that no host would find is told before any is started."""
    with pytest.raises(AdapterError, match=r"no module nowhere is found.*\n  hint: start it in the folder"):
        registry.refuse_absent("nowhere.at.all:Adapter")


def test_an_execution_mistyped() -> None:
    """What begins with the name of an adapter is an execution of it, and no module."""
    with pytest.raises(AdapterError, match="no adapter is named 'torch:compil'; did you mean torch:compile"):
        registry.find("torch:compil")


def test_names_that_begin_so_come_first() -> None:
    """Of a family of names the members are told."""
    with pytest.raises(AdapterError, match="did you mean keras-tensorflow or keras-tensorflow:graph or"):
        registry.find("keras")


@pytest.mark.parametrize("name", ["", "a:b:c", ":Adapter", "module:", "my module:Adapter", "Ünbekannt"])
def test_malformed_name(name: str) -> None:
    """What is neither a name nor ``module:Class`` is an unknown name."""
    with pytest.raises(AdapterError, match="no adapter is named"):
        registry.find(name)


def test_own_class_is_imported_when_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``module:Class`` is found without importing it; loading it looks in the current directory too."""
    spec = registry.find("adapter_of_mine:Mine")
    assert spec == registry.AdapterSpec("adapter_of_mine:Mine", "adapter_of_mine:Mine")
    (tmp_path / "adapter_of_mine.py").write_text("from conformance.adapters.contract import Adapter as Mine\n")
    monkeypatch.chdir(tmp_path)
    registry.refuse_absent(spec.name)
    assert "adapter_of_mine" not in sys.modules
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert type(registry.load(spec)).__name__ == "Adapter"


def test_missing_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter whose framework is not installed is listed with the command that installs it."""
    have = {"tensorflow-cpu", "jax"}

    def version(distribution: str) -> str:
        if distribution in have:
            return "1.0"
        raise metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(metadata, "version", version)
    expected = {
        "torch": "pip install 'batchnorm-conformance[torch]'",
        "keras-tensorflow": "pip install 'batchnorm-conformance[tensorflow]'",
        "flax-linen": "pip install 'batchnorm-conformance[jax]'",
    }
    assert expected.items() <= registry.missing().items()
    assert "numpy" in registry.installed()
    have.add("keras")
    assert "keras-tensorflow" in registry.installed()


@pytest.mark.parametrize(
    ("adapter", "compiler", "named"), [("tinygrad", "clang", "CC"), ("torch:compile", "g++", "CXX")]
)
def test_a_compiler_is_installed_too(
    adapter: str, compiler: str, named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without its compiler an adapter is missing, and the command says how to get it; another may be named instead."""
    other = tmp_path / "cc-of-mine"
    other.touch(mode=0o755)
    monkeypatch.setattr(metadata, "version", lambda _: "1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(named, raising=False)
    assert f"apt-get install {compiler}" == registry.missing()[adapter]
    monkeypatch.setenv(named, "cc-of-mine")
    assert adapter in registry.installed()
    monkeypatch.setattr(metadata, "version", _absent)
    monkeypatch.delenv(named)
    assert registry.missing()[adapter].endswith(f"]' && apt-get install {compiler}")


def _absent(distribution: str) -> str:
    raise metadata.PackageNotFoundError(distribution)


def test_extras_bring_what_is_required() -> None:
    """The extra that an adapter is installed by names every distribution that it requires, or one of its kind."""
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml takes Python 3.11")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for spec in registry.BUILT_IN.values():
        brought = {Requirement(one).name for one in extras.get(spec.install.partition("[")[2].rstrip("]'"), [])}
        assert all(brought & set(choice.split("|")) for choice in spec.requires), spec.name


def test_third_parties_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of another distribution is an adapter like any other, but replaces none built in."""
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[conformance.adapters]\nmine = mine:A\ntorch = mine:T\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.find("mine").target == "mine:A"
    assert registry.find("torch").target == "conformance.adapters.torch:Adapter"
