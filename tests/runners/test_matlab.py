"""runners/matlab, run in GNU Octave with the layer in plain code: the plumbing between a bundle and a layer."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance.bundle.layout import file_name
from conformance.cli.main import main
from conformance.host.frames import decode
from conformance.results.read import read_results
from conformance.results.rows import CellRow

RUNNER = Path(__file__).parents[2] / "runners" / "matlab"
FILES = sorted(RUNNER.glob("*.m"))
OCTAVE = shutil.which("octave-cli")

#: Every kind of call, rank and dtype, and what MATLAB lacks.
PATTERNS = [
    "normalise/*", "layout/*", "gradients_train/*", "gradients_evaluate/*", "higher_order/*", "state_moves/*",
    "running_stats/*", "low_precision/*", "frozen/*", "saving/*", "update_gradient/*",
    "scenarios/siamese/*", "scenarios/convergence/*",
]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(OCTAVE is None, reason="GNU Octave is not installed: apt-get install octave"),
    pytest.mark.xdist_group("octave"),
]


def octave(folder: Path, expression: str) -> subprocess.CompletedProcess[str]:
    """Evaluate an expression in Octave, the runner on its path."""
    code = f"addpath('{RUNNER}'); {expression}"
    assert OCTAVE is not None
    command = [OCTAVE, "--quiet", "--no-init-file", "--eval", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def answer(folder: Path) -> subprocess.CompletedProcess[str]:
    return octave(folder, "answer_bundle('bundle', layer_standin())")


@pytest.fixture(scope="session")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bundle that Octave answered, and what was made of it."""
    folder = tmp_path_factory.mktemp("octave")
    assert 0 == main(["export", str(folder / "bundle"), *(f"--case={pattern}" for pattern in PATTERNS)])
    ended = answer(folder)
    assert "requests are answered" in ended.stdout, ended.stderr
    assert 0 == main(["import", str(folder / "bundle"), "--output", str(folder / "out")])
    return folder


@pytest.fixture(scope="session")
def cells(answered: Path) -> dict[str, CellRow]:
    return {cell.case: cell for cell in read_results(answered / "out").cells}


def test_nothing_differs(cells: dict[str, CellRow]) -> None:
    """The layer in plain code agrees with the oracle, the population variance apart, which it declares."""
    assert {"agrees", "rough", "deviates", "unsupported", "open"} >= {cell.verdict for cell in cells.values()}
    deviating = {
        (row.name, row.variant) for cell in cells.values() for row in cell.quantities if row.verdict == "deviates"
    }
    assert {("running_var", "population running variance")} == {
        (name, variant) for name, variant in deviating if name == "running_var"
    }


@pytest.mark.parametrize("quantity", ["y", "running_mean", "dx", "dgamma", "dbeta", "dx_earlier", "hvp_x", "third_x"])
def test_every_quantity_is_judged(cells: dict[str, CellRow], quantity: str) -> None:
    """Some answer has the quantity, and it agrees."""
    assert any(row.verdict == "agrees" for cell in cells.values() for row in cell.quantities if row.name == quantity)


@pytest.mark.parametrize("why", ["16-bit", "cumulative average", "forward mode"])
def test_what_is_lacking_is_said(cells: dict[str, CellRow], why: str) -> None:
    """What MATLAB has no means for is unsupported, with the reason."""
    assert any(cell.verdict == "unsupported" and why in cell.explanation for cell in cells.values())


def test_the_column(answered: Path) -> None:
    """The column is named by the program and marked as recorded."""
    (column,) = read_results(answered / "out").run.implementations
    assert ("matlab-stand-in", "recorded") == (column.name, column.provenance)
    assert "population" == column.dialect["running_variance"]


def test_a_program_that_was_stopped(answered: Path, tmp_path: Path) -> None:
    """It goes on where it was: what is there stays, and the case that took it down is answered with a crash."""
    shutil.copytree(answered / "bundle", tmp_path / "bundle")
    kept, answers = (folder / "bundle" / "answers" / "matlab-stand-in" for folder in (answered, tmp_path))
    (answers / file_name(1)).write_bytes(b"mine")
    for number in (2, 3):
        (answers / file_name(number)).unlink()
    (answers / "started").write_text(file_name(2))
    answer(tmp_path)
    assert b"mine" == (answers / file_name(1)).read_bytes()
    assert b'\\"crash\\"' in (answers / file_name(2)).read_bytes()
    again, first = (decode((folder / file_name(3)).read_bytes()) for folder in (answers, kept))
    assert {name: array.tolist() for name, array in first.arrays.items()} == {
        name: array.tolist() for name, array in again.arrays.items()
    }
    assert not (answers / "started").exists()


def test_without_the_toolbox(answered: Path) -> None:
    """Without Deep Learning Toolbox the program says so, and how to try it all the same."""
    ended = octave(answered, "answer_bundle('bundle', layer_batchnorm())")
    assert ended.returncode != 0
    assert "Deep Learning Toolbox is not installed" in ended.stderr


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    """It is refused with what was expected."""
    ended = octave(tmp_path, "answer_bundle('nothing', layer_standin())")
    assert ended.returncode != 0
    assert "expected the folder that `conformance export` wrote" in ended.stderr


def test_every_file_parses(tmp_path: Path) -> None:
    """Octave parses every file, also those that only MATLAB can run."""
    files = ", ".join(f"'{path}'" for path in FILES)
    ended = octave(tmp_path, f"cellfun(@__parse_file__, {{{files}}}); disp('all of them')")
    assert "all of them" in ended.stdout, ended.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_that_only_octave_reads(path: Path) -> None:
    """No file has Octave's own words and signs, nor calls what a call returned: MATLAB reads none of these."""
    code = re.sub(r"%.*|'[^'\n]*'", "", path.read_text())
    words = r"endif|endfor|endfunction|endwhile|end_try_catch|end_unwind_protect|printf|unwind_protect"
    assert [] == re.findall(rf"\b(?:{words})\b|\+=|!=|\)\(|#|\"", code)
