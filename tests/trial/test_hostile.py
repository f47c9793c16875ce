"""Hostile input is refused in words, and nothing in the suite could run what it says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from conformance.corpus.load import load_file
from conformance.errors import CaseError
from conformance.trial.hostile import TARGETS, attack

ROOT = Path(__file__).parents[2]
#: Calls and modules by which data could become code.
FORBIDDEN = {
    "pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "eval", "exec", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.Loader",
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_is_refused(name: str, tmp_path: Path) -> None:
    """Two hundred inputs of a fixed seed raise the suite's own errors and no others."""
    assert attack(TARGETS[name], 200, tmp_path, start=2) >= 200


@pytest.mark.parametrize("file", sorted((ROOT / "conformance").rglob("*.py")), ids=str)
def test_nothing_read_can_become_code(file: Path) -> None:
    """No module of the package imports pickle or its like, evaluates text, or loads YAML unsafely."""
    used: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            used |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
            used.add(f"yaml.{node.attr}")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
    assert set() == used & FORBIDDEN


def test_a_shape_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    """A case of more values than the machine could hold is refused with its place, before anything is made."""
    case = "{name: a, fact: F., clauses: ['1.1'], shape: 99999999x99999999, steps: [{train: a}]}"
    (tmp_path / "large.yaml").write_text(f"title: T\ncases:\n  - {case}\n", "utf-8")
    said = r"large\.yaml:3:50: found 1e\+16 values in all inputs and kernels \(99999999x99999999 \.\.\.\), expected"
    with pytest.raises(CaseError, match=said):
        load_file(tmp_path / "large.yaml", tmp_path)
