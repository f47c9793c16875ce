"""A cell: an answer judged, a crash told, a fault of the suite told apart from both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.engine import cell as cell_module
from conformance.engine.cell import cell_of, question_of
from conformance.errors import AdapterError
from conformance.host.observation import Crashed, Faulty, Observation, Raised
from conformance.verdict.deviations import Deviation

Sessions = Callable[..., Any]
Cases = tuple[Case, ...]


def test_agreement(session: Sessions, cases: Cases) -> None:
    """A right answer agrees and needs no explanation; the time is that of the implementation."""
    row = cell_of(cases[0], session()).row
    assert ("made/train", "fake@1.0:eager:cpu", "agrees", "", 0.5) == (
        row.case, row.implementation, row.verdict, row.explanation, row.seconds,
    )  # fmt: skip


def test_the_explanation_is_that_of_what_decides(session: Sessions, cases: Cases) -> None:
    """The explanation names the quantities of the cell's verdict, those of one reason together."""
    cell = cell_of(cases[0], session(variants=("momentum swapped",), dialect=Dialect()))
    assert "differs" == cell.row.verdict
    both = "running_mean (step 1), running_var (step 1)"
    assert cell.row.explanation.startswith(f"{both}: matches the variant 'momentum swapped': ")


def test_the_column_shows_the_dialect(session: Sessions, cases: Cases) -> None:
    """The column of a cell has an option for every choice that was declared."""
    column = cell_of(cases[0], session(dialect=Dialect(running_variance="population"))).implementation
    shown = (column.name, column.dialect["running_variance"], column.dialect["momentum"])
    assert ("fake", "population", "new") == shown


def test_a_crash(session: Sessions, cases: Cases) -> None:
    """A host that died makes a crashed cell without quantities, with its reason."""
    row = cell_of(cases[0], session(fault=Crashed("killed by SIGSEGV"))).row
    assert ("crashed", "killed by SIGSEGV", ()) == (row.verdict, row.explanation, row.quantities)


def test_a_fault_of_the_adapter_is_void(session: Sessions, cases: Cases) -> None:
    """What the adapter is to blame for counts for nobody."""
    row = cell_of(cases[0], session(fault=Faulty("dialect_for failed"))).row
    assert ("void", "dialect_for failed") == (row.verdict, row.explanation)


def test_a_fault_of_the_judge_is_void(
    session: Sessions, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the suite's own judging is void, with the place where it was raised."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cell_module, "judge", fail)
    row = cell_of(cases[0], session()).row
    assert "void" == row.verdict
    assert row.explanation.startswith("the suite failed to judge: ZeroDivisionError: oops (test_cell.py:")


def test_a_fault_in_asking_is_void(session: Sessions, cases: Cases) -> None:
    """An error before the implementation is asked is void and costs this cell only."""

    def fail(case: Case) -> Observation:
        raise MemoryError(case.id)

    row = cell_of(cases[0], session(fault=fail)).row
    assert "void" == row.verdict
    assert row.explanation.startswith("the suite failed to ask: MemoryError: made/train")


def test_an_adapter_that_does_not_start_is_no_cell(session: Sessions, cases: Cases) -> None:
    """An adapter that cannot be started raises, for every case alike."""

    def fail(case: Case) -> Observation:
        raise AdapterError("no licence")

    with pytest.raises(AdapterError, match="no licence"):
        cell_of(cases[0], session(fault=fail))


def test_unsupported(session: Sessions, cases: Cases) -> None:
    """What is declared unsupported and does not work is unsupported, for the reason declared."""
    seen = Observation(Dialect(), "not offered", {(1, "outcome"): Raised("TypeError", "no")})
    row = cell_of(cases[0], session(fault=seen)).row
    assert ("unsupported", "not offered", ()) == (row.verdict, row.explanation, row.quantities)


def test_unsupported_and_wrong(session: Sessions, cases: Cases) -> None:
    """What is declared unsupported and gives a wrong answer stays unsupported."""
    assert "unsupported" == cell_of(cases[0], session(unsupported="no", variants=("gamma ignored",))).row.verdict


def test_unsupported_and_yet_right(session: Sessions, cases: Cases) -> None:
    """What is declared unsupported and works all the same is changed."""
    row = cell_of(cases[0], session(unsupported="not offered")).row
    assert ("changed", "declared unsupported (not offered), and yet it answers as expected") == (
        row.verdict, row.explanation,
    )  # fmt: skip


def _record(**changes: Any) -> Deviation:
    fields: dict[str, Any] = {
        "name": "no gamma", "implementation": "fake", "cases": ("made/train",), "quantities": ("y",),
        "variants": ("gamma ignored",), "reason": "Gamma is ignored.", "proof": "By hand.",
    }  # fmt: skip
    return Deviation(**{**fields, **changes})


# the record, the verdict that it makes
RECORDS = {
    "of the cell": (_record(), "deviates"),
    "of its version": (_record(versions=">=1,<2"), "deviates"),
    "of another version": (_record(versions=">=2"), "differs"),
    "of another implementation": (_record(implementation="torch"), "differs"),
    "of another case": (_record(cases=("made/evaluate",)), "differs"),
    "of another execution": (_record(execution="jit"), "differs"),
    "of another mistake": (_record(variants=("beta ignored",)), "changed"),
}


@pytest.mark.parametrize(("record", "verdict"), RECORDS.values(), ids=RECORDS.keys())
def test_records(session: Sessions, cases: Cases, record: Deviation, verdict: str) -> None:
    """A record excuses the cells that it concerns, and no others."""
    assert verdict == cell_of(cases[0], session(variants=("gamma ignored",)), [record]).row.verdict


def test_questions_are_shared(cases: Cases) -> None:
    """Implementations are asked the same question, whose predictions are computed once."""
    assert question_of(cases[0]) is question_of(cases[0])
    assert question_of(cases[0]) is not question_of(cases[1])


def test_a_changed_case_is_another_question(cases: Cases) -> None:
    """A case of the same id and other contents is not answered from what is kept."""
    other = msgspec.structs.replace(cases[0], epsilon=0.5)
    assert 0.5 == question_of(other).case.epsilon
    assert 0.001 == question_of(cases[0]).case.epsilon


def right(session: Sessions) -> Callable[[Case], Any]:
    """Return what observes the right answer."""
    return session().observe


def test_what_fails_once_only_is_flaky(session: Sessions, cases: Cases) -> None:
    """A wrong answer that does not come twice keeps its verdict, and is said to be flaky."""
    wrong = session(variants=("beta ignored",)).observe
    answers = iter([wrong(cases[0]), right(session)(cases[0])])
    row = cell_of(cases[0], session(fault=lambda _: next(answers), apart=right(session))).row
    assert "differs" == row.verdict
    assert row.explanation.startswith("flaky: asked twice, the same case agrees; y (step 1): matches the variant 'beta")


def test_what_fails_in_the_one_host_only_depends_on_what_came_before(session: Sessions, cases: Cases) -> None:
    """A wrong answer that comes again in its host, and not in a host apart, is said to depend on earlier cases."""
    row = cell_of(cases[0], session(variants=("beta ignored",), apart=right(session))).row
    assert "differs" == row.verdict
    assert row.explanation.startswith("depends on what was asked before: to a host of its own the same case agrees; ")


def test_the_graver_of_two_outcomes_counts(session: Sessions, cases: Cases) -> None:
    """A case that differs, and crashes when it is asked again, has crashed."""
    row = cell_of(cases[0], session(variants=("beta ignored",), apart=Crashed("killed by SIGSEGV"))).row
    assert "crashed" == row.verdict
    assert row.explanation.endswith("the same case differs; killed by SIGSEGV")


def test_what_a_limit_ended_is_not_asked_again(session: Sessions, cases: Cases) -> None:
    """A case that ran past a limit is believed: it would take as long again."""
    row = cell_of(cases[0], session(fault=Crashed("too slow", again=False), apart=right(session))).row
    assert ("crashed", "too slow") == (row.verdict, row.explanation)


def test_what_agrees_is_not_asked_again(session: Sessions, cases: Cases) -> None:
    """Only what fails is asked again."""

    def never(case: Case) -> Observation:
        raise AssertionError(case.id)

    assert "agrees" == cell_of(cases[0], session(apart=never)).row.verdict
