"""Writing and reading: what is written is read, torn files are partial, malformed ones are refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.errors import ResultsError
from conformance.results.read import Results, read_results
from conformance.results.rows import CellRow, QuantityRow
from conformance.results.writer import ResultsWriter, write_results

Maker = Callable[..., Results]
TORCH, FLAX = "torch@2.1:eager:cpu", "flax@0.9:jit:cpu"
SOME = {("a/one", TORCH): "agrees", ("a/one", FLAX): "deviates", ("a/two", TORCH): "differs"}


@pytest.fixture
def written(results: Maker, tmp_path: Path) -> Path:
    return write_results(results(SOME), tmp_path)


def test_round_trip(results: Maker, tmp_path: Path) -> None:
    """What is written is read back the same."""
    expected = results(SOME)
    assert expected == read_results(write_results(expected, tmp_path / "deep" / "folder"))


def test_a_folder_stands_for_its_file(written: Path) -> None:
    """A folder is read by its results.jsonl."""
    assert read_results(written) == read_results(written.parent)


def test_nonfinite_numbers_are_named(results: Maker, tmp_path: Path) -> None:
    """Infinities and nan are written as strings, wherever they stand."""
    run = results(SOME).run
    row = QuantityRow(
        step=1, name="y", clause="1.1", verdict="differs", ratio=float("inf"), error=float("nan"),
        expected=(1.0, float("-inf")), observed=(float("nan"), -0.0),
    )  # fmt: skip
    with ResultsWriter(tmp_path) as writer:
        writer.write_run(run)
        writer.write_cell(CellRow(case="a/one", implementation=TORCH, verdict="differs", quantities=(row,)))
    quantity = read_results(tmp_path).cells[0].quantities[0]
    assert ("inf", "nan", (1.0, "-inf")) == (quantity.ratio, quantity.error, quantity.expected)
    assert "('nan', -0.0)" == str(quantity.observed)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_a_torn_file_is_partial(written: Path, data: st.DataObject) -> None:
    """Cut anywhere after its run row, a file yields the cells that were whole, marked as partial."""
    whole = written.read_bytes()
    first = whole.index(b"\n") + 1
    cut = data.draw(st.integers(first, len(whole) - 2))
    torn = written.with_name("torn.jsonl")
    torn.write_bytes(whole[:cut])
    read = read_results(torn)
    assert not read.complete
    assert read_results(written).cells[: len(read.cells)] == read.cells
    assert whole[first:cut].count(b"\n") <= len(read.cells)


def test_killed_writer_leaves_a_readable_file(written: Path, tmp_path: Path) -> None:
    """Cells written before a kill are there after it."""
    target = tmp_path / "killed.jsonl"
    program = (
        "import sys, time\n"
        "from conformance.results.read import read_results\n"
        "from conformance.results.writer import ResultsWriter\n"
        "given = read_results(sys.argv[1])\n"
        "writer = ResultsWriter(sys.argv[2])\n"
        "writer.write_run(given.run)\n"
        "writer.write_cell(given.cells[0])\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, written, target], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    read = read_results(target)
    assert (1, False) == (len(read.cells), read.complete)


CELL = '{"kind":"cell","case":"a/one","implementation":"torch@2.1:eager:cpu","verdict":"agrees"}'
FAULTS = {
    "unknown kind": ('{"kind":"sell"}', ":5: Invalid value 'sell'"),
    "wrong type": (CELL.replace('"a/one"', "7"), ":5: Expected `str`, got `int` - at `$.case`"),
    "unknown verdict": (CELL.replace("agrees", "fine"), ":5: Invalid enum value 'fine' - at `$.verdict`"),
    "not JSON": ("gibberish", ":5: JSON is malformed"),
    "unknown implementation": (CELL.replace("torch", "tch"), ":5: the implementation tch@2.1:eager:cpu is not in the"),
    "unknown case": (CELL.replace("a/one", "b/one"), ":5: the case b/one is not in the run row"),
    "duplicate": (CELL, ":5: a/one on torch@2.1:eager:cpu is already in line 2"),
    "wrong count": ('{"kind":"end","cells":9}', ":5: the end row counts 9 cells, the file holds 3"),
}


@pytest.mark.parametrize(("line", "expected"), FAULTS.values(), ids=FAULTS)
def test_malformed_rows_are_refused(written: Path, line: str, expected: str) -> None:
    """A malformed row is reported with file and line."""
    rows = written.read_text(encoding="utf-8").splitlines()[:-1]
    written.write_text("\n".join([*rows, line, ""]), encoding="utf-8")
    with pytest.raises(ResultsError) as caught:
        read_results(written)
    assert f"{written}{expected}" in str(caught.value)


def test_rows_out_of_order_are_refused(written: Path) -> None:
    """The run row comes first and once, the end row last."""
    run, cell, *_, end = written.read_text(encoding="utf-8").splitlines()
    for rows, message in (
        ([cell], ":1: the first row, and only the first, is the run row"),
        ([run, run], ":2: the first row, and only the first, is the run row"),
        ([run, end.replace("3", "0"), cell], ":3: a row after the end row"),
    ):
        written.write_text("\n".join([*rows, ""]), encoding="utf-8")
        with pytest.raises(ResultsError, match=message):
            read_results(written)


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    """An empty file and one that is not there get a message with a hint."""
    (tmp_path / "results.jsonl").touch()
    with pytest.raises(ResultsError, match=r"the file is empty\n  hint: "):
        read_results(tmp_path)
    with pytest.raises(ResultsError, match=r"No such file or directory\n  hint: name a results\.jsonl"):
        read_results(tmp_path / "missing.jsonl")


def test_fields_of_later_versions_are_read_over(written: Path) -> None:
    """A field that this version does not know is no fault."""
    text = written.read_text(encoding="utf-8")
    written.write_text(text.replace('"verdict":"agrees"', '"verdict":"agrees","later":1', 1), encoding="utf-8")
    assert read_results(written).complete


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    """A folder that cannot be made gets one message that says what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match=r"cannot write results: .*\n  hint: name a folder"):
        ResultsWriter(tmp_path / "file" / "folder")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_full_disk_is_reported(results: Maker, tmp_path: Path) -> None:
    """A full disk gets one message, at the row that did not fit."""
    link = tmp_path / "full.jsonl"
    link.symlink_to("/dev/full")
    with ResultsWriter(link) as writer, pytest.raises(ResultsError, match="No space left on device"):
        writer.write_run(results(SOME).run)


def test_each_row_is_one_write(results: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row reaches the operating system whole, before the call returns."""
    writes: list[bytes] = []
    real = os.write

    def spy(descriptor: int, data: bytes) -> int:
        writes.append(bytes(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", spy)
    write_results(results(SOME), tmp_path)
    assert ["run", "cell", "cell", "cell", "end"] == [msgspec.json.decode(row)["kind"] for row in writes]
    assert all(row.endswith(b"\n") for row in writes)
