"""The results file of a run is readable at any moment, and ends when it is complete."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.engine.cell import cell_of
from conformance.engine.machine import run_row
from conformance.engine.recorder import Recorder
from conformance.engine.resume import left_in
from conformance.errors import ResultsError
from conformance.results.read import read_results, survey

Sessions = Callable[..., Any]
Cases = tuple[Case, ...]


@pytest.fixture
def recorder(tmp_path: Path, cases: Cases) -> Recorder:
    return Recorder(tmp_path, run_row(cases, corpus=cases, not_installed={}))


def test_readable_after_every_cell(recorder: Recorder, session: Sessions, cases: Cases) -> None:
    """From the first row on the file can be read, holds what is finished, and is partial."""
    assert (0, False) == (len(read_results(recorder.path).cells), read_results(recorder.path).complete)
    count = 0
    for case in cases:
        for name in ("one", "two", "three"):
            recorder.add(cell_of(case, session(name=name)))
            count += 1
            results = read_results(recorder.path)
            assert (count, False) == (len(results.cells), results.complete)
            assert min(count, 3) == len(results.run.implementations)
    recorder.finish()
    assert read_results(recorder.path).complete


def test_no_file_is_left_beside_it(recorder: Recorder, session: Sessions, cases: Cases) -> None:
    """A rewritten file takes the place of the old one in one move."""
    recorder.add(cell_of(cases[0], session()))
    recorder.finish()
    assert [recorder.path] == list(recorder.path.parent.iterdir())


def test_a_failed_rewrite_leaves_the_file(
    recorder: Recorder, session: Sessions, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full when a column joins for which there is no room costs nothing of what was there."""
    monkeypatch.setattr(recorder, "_size", 0)
    recorder.add(cell_of(cases[0], session(name="one")))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(ResultsError, match="cannot write results: No space left on device"):
        recorder.add(cell_of(cases[0], session(name="two")))
    assert ["one"] == [row.name for row in read_results(recorder.path).run.implementations]
    assert 1 == len(read_results(recorder.path).cells)
    assert [recorder.path] == list(recorder.path.parent.iterdir())


def test_columns_join_without_a_copy(
    recorder: Recorder, session: Sessions, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first column makes room in the first row; the others are written there, and the end leaves no spaces."""
    recorder.add(cell_of(cases[0], session(name="number-0")))
    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfileobj", None)
        for k in range(1, 30):
            recorder.add(cell_of(cases[0], session(name=f"number-{k}")))
            assert k + 1 == len(read_results(recorder.path).run.implementations)
    assert b"   " in recorder.path.read_bytes()
    recorder.finish()
    results = read_results(recorder.path)
    assert ([f"number-{k}" for k in range(30)], 30) == (
        [column.name for column in results.run.implementations], len(results.cells)
    )  # fmt: skip
    assert b"   " not in recorder.path.read_bytes()


def test_more_columns_than_there_is_room_for(
    recorder: Recorder, session: Sessions, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no room is left the file is written anew, with more."""
    monkeypatch.setattr(recorder, "_size", 5000)
    for k in range(12):
        recorder.add(cell_of(cases[0], session(name=f"number-{k}")))
        assert k + 1 == len(read_results(recorder.path).run.implementations)


def test_what_a_killed_run_has_left_is_put_in_order(
    recorder: Recorder, session: Sessions, cases: Cases, tmp_path: Path
) -> None:
    """A run that goes on with a file which has room in it leaves none."""
    for name in ("one", "two"):
        recorder.add(cell_of(cases[0], session(name=name)))
    recorder.close()
    resumed = Recorder(tmp_path, recorder.run, survey(recorder.path))
    for name in ("one", "two", "three"):
        resumed.add(cell_of(cases[1], session(name=name)))
    resumed.finish()
    results = read_results(recorder.path)
    assert (["one", "two", "three"], 5) == ([column.name for column in results.run.implementations], len(results.cells))
    assert b"   " not in recorder.path.read_bytes()


def test_closing_leaves_it_partial(recorder: Recorder, session: Sessions, cases: Cases) -> None:
    """An interrupted run has no end row."""
    recorder.add(cell_of(cases[0], session()))
    recorder.close()
    assert not read_results(recorder.path).complete


def test_an_incomplete_run_is_partial(recorder: Recorder, session: Sessions, cases: Cases) -> None:
    """A run in which something could not be asked ends without an end row, and keeps all that was asked for."""
    recorder.add(cell_of(cases[0], session()))
    recorder.finish(complete=False)
    results = read_results(recorder.path)
    assert (False, 2) == (results.complete, len(results.run.cases))


def test_a_selection_made_elsewhere_shrinks_the_corpus(recorder: Recorder, session: Sessions, cases: Cases) -> None:
    """Cases that nobody was asked, as after ``pytest -k``, are not in the finished file."""
    recorder.add(cell_of(cases[1], session()))
    recorder.finish()
    results = read_results(recorder.path)
    assert (True, ["made/evaluate"]) == (results.complete, [case.id for case in results.run.cases])


def test_dialects_of_a_column_are_joined(recorder: Recorder, session: Sessions, cases: Cases) -> None:
    """An option that varies with the layer is shown with all its values."""
    recorder.add(cell_of(cases[0], session()))
    recorder.add(cell_of(cases[1], session(dialect=Dialect(running_variance="population"))))
    recorder.finish()
    (column,) = read_results(recorder.path).run.implementations
    assert ("population / sample", "new") == (column.dialect["running_variance"], column.dialect["momentum"])


def test_verdicts_are_counted(recorder: Recorder, session: Sessions, cases: Cases) -> None:
    """The recorder counts the verdicts of each column."""
    for case in cases:
        recorder.add(cell_of(case, session(variants=("momentum swapped",))))
    assert {"fake@1.0:eager:cpu": {"differs": 1, "agrees": 1}} == recorder.counts
    assert 2 == recorder.cells


def test_an_older_report_is_removed(tmp_path: Path, cases: Cases) -> None:
    """A report of an earlier run does not stand beside the results of this one."""
    (tmp_path / "index.html").write_text("old", "utf-8")
    Recorder(tmp_path, run_row(cases, corpus=cases, not_installed={})).close()
    assert not (tmp_path / "index.html").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, cases: Cases) -> None:
    """What cannot be written is told with the option that says where to write."""
    (tmp_path / "file").write_text("", "utf-8")
    said = r"cannot write results: a file is where its folder would be\n.*--output FOLDER"
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ResultsError, match=said):
            Recorder(folder, run_row(cases, corpus=cases, not_installed={}))


def test_a_run_that_may_not_be_written_any_more_is_left(
    tmp_path: Path, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming where nothing may be written is told, and changes nothing."""
    run = run_row(cases, corpus=cases, not_installed={})
    Recorder(tmp_path, run).close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ResultsError, match="cannot write results: Read-only file system"):
        Recorder(tmp_path, run, left_in(tmp_path))
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}
