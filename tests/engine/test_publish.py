"""No report is written unless the canary, the oracle's own formulas, agrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.corpus.case import Case
from conformance.engine.cell import cell_of
from conformance.engine.machine import run_row
from conformance.engine.publish import CanaryError, publish, refuse_if_canary_differs
from conformance.engine.recorder import Recorder
from conformance.results.rows import CellRow, Verdict

Sessions = Callable[..., Any]
Cases = tuple[Case, ...]


def recorded(folder: Path, cases: Cases, *sessions: Any) -> Path:
    recorder = Recorder(folder, run_row(cases, corpus=cases, not_installed={}))
    for session in sessions:
        for case in cases:
            recorder.add(cell_of(case, session))
    recorder.finish()
    return recorder.path


def test_a_sound_canary_publishes(tmp_path: Path, session: Sessions, cases: Cases) -> None:
    """Where the canary agrees the report stands beside the results."""
    page = publish(recorded(tmp_path, cases, session(name="numpy"), session()), cases)
    assert tmp_path / "index.html" == page
    assert "made/train" in page.read_text("utf-8")


def test_a_canary_that_differs_publishes_nothing(tmp_path: Path, session: Sessions, cases: Cases) -> None:
    """Where the canary differs there is no report, the results are kept, and the case is named."""
    path = recorded(tmp_path, cases, session(name="numpy", variants=("gamma ignored",)), session())
    (tmp_path / "index.html").write_text("old", "utf-8")
    with pytest.raises(CanaryError) as refusal:
        publish(path, cases)
    assert "the canary numpy@1.0:eager:cpu differs on made/train: y (step 1)" in str(refusal.value)
    assert 3 == refusal.value.exit_code
    assert [path] == list(tmp_path.iterdir())


def test_the_canary_is_asked_what_it_was_not(
    tmp_path: Path, session: Sessions, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of results without the canary, it is asked the same cases before a report is written."""
    asked: list[str] = []

    class Canary:
        def __init__(self, *_: object, **__: object) -> None:
            self.session = session(name="numpy")
            self.implementation = self.session.implementation

        def observe(self, case: Case) -> Any:
            asked.append(case.id)
            return self.session.observe(case)

        def close(self) -> None:
            asked.append("closed")

    monkeypatch.setattr("conformance.engine.publish.HostSession", Canary)
    assert publish(recorded(tmp_path, cases[:1], session()), cases).exists()
    assert ["made/train", "closed"] == asked


VERDICTS: dict[Verdict, bool] = {
    "agrees": True, "rough": True, "open": True, "deviates": False, "differs": False, "changed": False,
    "crashed": False, "unsupported": False, "void": False,
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "sound"), VERDICTS.items(), ids=VERDICTS.keys())
def test_a_sound_canary_agrees(verdict: Verdict, sound: bool) -> None:
    """The canary may be rough, and nothing worse."""
    cells = [CellRow(case="made/up", implementation="numpy@1", verdict=verdict)]
    if sound:
        refuse_if_canary_differs(cells)
    else:
        with pytest.raises(CanaryError, match=f"the canary numpy@1 {verdict} on made/up"):
            refuse_if_canary_differs(cells)
