"""`make matrix`: its configuration names what exists, and a part that fails is a row that disturbs nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.adapters.registry import known
from conformance.errors import ConformanceError
from conformance.results.read import read_results
from tools import matrix

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def test_the_configuration_names_what_exists() -> None:
    """Every adapter has a name here, or is a class of the package; every host file and folder is there."""
    environments = matrix.load(ROOT / "matrix.yaml")
    adapters = {adapter for one in environments.values() for adapter in one.adapters}
    outside = {f"conformance.adapters.{path.stem}:Adapter" for path in (ROOT / "conformance" / "adapters").glob("*.py")}
    assert adapters <= known().keys() | outside
    assert all((ROOT / one.hosts).is_file() for one in environments.values() if one.hosts)
    assert all((ROOT / one.npm / "package.json").is_file() for one in environments.values() if one.npm)


def test_it_has_columns_enough() -> None:
    """It makes 25 columns at least, the canary not counted, and every adapter that comes with the suite is in it."""
    environments = matrix.load(ROOT / "matrix.yaml")
    asked = [adapter for one in environments.values() for adapter in one.adapters]
    assert len(asked) >= 25
    assert {name for name in known() if name != "numpy"} <= set(asked)


def test_three_versions_of_each() -> None:
    """Beside the current one there are two other versions of JAX, Keras, TensorFlow and MLX, one of ONNX Runtime."""
    names = list(matrix.load(ROOT / "matrix.yaml"))
    needed = {"jax": 2, "keras-3": 2, "mlx": 2, "onnxruntime": 1, "torch": 1}
    assert [] == [one for one, count in needed.items() if sum(name.startswith(one) for name in names) < count]


FAULTS = {
    "unknown key": ("a: {adapter: [torch]}", "2:7: found the unknown key `adapter`, expected one of python"),
    "nobody": ("a: {requirements: [x]}", "2:6: found an environment that asks nobody, expected either"),
    "name": ("A: {adapters: [torch]}", "2:3: found the name `A`, expected lower-case words"),
}


@pytest.mark.parametrize(("entry", "message"), FAULTS.values(), ids=FAULTS)
def test_faults(tmp_path: Path, entry: str, message: str) -> None:
    """A fault is told with file, line, column, what was found and what was expected."""
    file = tmp_path / "matrix.yaml"
    file.write_text(f"environments:\n  {entry}\n", encoding="utf-8")
    with pytest.raises(ConformanceError) as refusal:
        matrix.load(file)
    assert f"{file}:{message}" in str(refusal.value)


def make(configuration: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Call the tool on the small corpus; environments go to ``made`` in the folder, the report to ``out``."""
    command = [
        sys.executable, "tools/matrix.py", f"--configuration={configuration}", f"--output={folder / 'out'}",
        f"--environments={folder / 'made'}", *options, "--", f"--cases={TESTS / 'fakes' / 'corpus'}",
    ]  # fmt: skip
    path = os.pathsep.join(map(str, (ROOT, TESTS / "fakes")))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_parts_that_fail_are_rows(tmp_path: Path) -> None:
    """Hanging, dying, uninstallable and unstartable ones among the environments leave the sound one complete."""
    hosts = tmp_path / "hosts.yaml"
    fakes = {name: f"{{python: {sys.executable}, adapter: 'third_party:{name}'}}" for name in ("NeverReturns", "Dies")}
    entries = [*(f"{name.lower()}: {host}" for name, host in fakes.items()), "gone: {command: [./gone]}"]
    hosts.write_text("implementations:\n" + "".join(f"  {one}\n" for one in entries), encoding="utf-8")
    configuration = tmp_path / "matrix.yaml"
    configuration.write_text(
        "environments:\n  sound: {adapters: ['third_party:Sound']}\n"
        f"  others: {{hosts: {hosts}, time_limit: 2}}\n"
        "  no-python: {python: python0.1, adapters: [torch]}\n"
        f"  no-package: {{requirements: [{tmp_path}/none.whl], adapters: [torch]}}\n", encoding="utf-8",
    )  # fmt: skip
    ended = make(configuration, tmp_path)
    assert 0 == ended.returncode, ended.stderr + ended.stdout
    results = read_results(tmp_path / "out")
    verdicts = {
        name: [cell.verdict for cell in results.cells if cell.implementation.startswith(f"{name}@")]
        for name in ("Sound", "NeverReturns", "Dies")
    }
    assert {
        "Sound": ["agrees"] * 4, "NeverReturns": ["agrees"] * 2 + ["crashed"] * 2,
        "Dies": ["agrees"] * 2 + ["crashed"] * 2,
    } == {name: sorted(found) for name, found in verdicts.items()}  # fmt: skip
    assert "| `sound` | 1 | 4 | 4 | 4 | 0 | 0 | 0 | 0 |" in ended.stdout
    assert "| `others` | 2 | 4 | 8 | 4 | 0 | 0 | 0 | 4 |" in ended.stdout
    reasons = results.run.not_installed
    assert {"gone", "no-python", "no-package"} == set(reasons)
    assert "there is no python0.1 here" in reasons["no-python"]
    assert "cannot be installed: ERROR" in reasons["no-package"]
    assert (tmp_path / "out" / "index.html").is_file()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    """A part that was cut off goes on where it was; ``--merge`` runs nothing and tells what has not been run."""
    configuration, results = tmp_path / "matrix.yaml", tmp_path / "out" / "parts" / "sound" / "results.jsonl"
    configuration.write_text(
        "environments:\n  sound: {adapters: ['third_party:Sound']}\n  other: {adapters: ['third_party:Dies']}\n"
    )
    assert 0 == make(configuration, tmp_path, "--only=sound").returncode
    whole = read_results(results)
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    results.write_text("".join(lines[:-3]), encoding="utf-8")
    assert 0 == make(configuration, tmp_path, "--only=sound").returncode
    again = read_results(results)
    assert (whole.run.started, whole.complete, len(whole.cells)) == (again.run.started, True, len(again.cells))
    results.write_text("".join(lines[:-3]), encoding="utf-8")
    assert 0 == make(configuration, tmp_path, "--merge").returncode
    merged = read_results(tmp_path / "out")
    assert (len(whole.cells) - 2, False) == (len(merged.cells), merged.complete)
    assert {"other": "has not been run"} == dict(merged.run.not_installed)


def test_another_corpus_is_asked_anew(tmp_path: Path) -> None:
    """A part that was run on other cases is run again, whole."""
    configuration, results = tmp_path / "matrix.yaml", tmp_path / "out" / "parts" / "sound" / "results.jsonl"
    configuration.write_text("environments:\n  sound: {adapters: ['third_party:Sound']}\n")
    assert 0 == make(configuration, tmp_path).returncode
    whole = read_results(results)
    configuration.write_text(
        "environments:\n  sound: {adapters: ['third_party:Sound'], cases: ['" + whole.run.cases[0].id + "']}\n"
    )
    assert 0 == make(configuration, tmp_path).returncode
    assert [whole.run.cases[0].id] == [case.id for case in read_results(results).run.cases]
