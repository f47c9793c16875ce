"""Every row of the table by which an array is judged."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.definition.prediction import Expected
from conformance.verdict.table import changes, rule

STALE_DECLARATION = "agrees with the reference: the declaration is stale"
STALE_RECORD = "agrees with the reference: the record is stale"
ONLY_DECLARED = "as the dialect declares, and no more: the record is stale"
NEITHER = "fits neither the reference nor the declared dialect"
OTHERWISE = "deviates in another way than recorded"
PLAIN = "within the plain bound only"


def at(value: float, tight: float = 1.0, plain: float = 2.0, dtype: str = "float64", n: int = 1) -> Expected:
    return Expected(*(np.full(n, float(one)) for one in (value, tight, plain)), dtype)


VAGUE = at(0, tight=50, plain=100)
# reference, declared, recorded; observed; verdict, reason
TABLE = {
    "declared as the reference: inside": (at(0), at(0), None, 0.5, "agrees", None),
    "declared as the reference: within plain": (at(0), at(0), None, 1.5, "rough", None),
    "declared as the reference: outside": (at(0), at(0), None, 3, "differs", None),
    "not apart: inside": (at(0), at(3), None, 0.5, "agrees", None),
    "not apart: within plain": (at(0), at(3), None, 2, "rough", None),
    "not apart: inside the declared alone": (at(0), at(3), None, 3, "deviates", None),
    "not apart: within plain of the declared alone": (at(0), at(3), None, 4.5, "deviates", PLAIN),
    "not apart: neither": (at(0), at(3), None, 6, "differs", None),
    "apart: inside the declared": (at(0), at(10), None, 10.5, "deviates", None),
    "apart: within plain of the declared": (at(0), at(10), None, 11.5, "deviates", PLAIN),
    "apart: inside the reference": (at(0), at(10), None, 0.5, "changed", STALE_DECLARATION),
    "apart: within plain of the reference": (at(0), at(10), None, 1.5, "changed", STALE_DECLARATION),
    "apart: neither": (at(0), at(10), None, 5, "differs", NEITHER),
    "recorded: inside the record": (at(0), at(0), at(10), 10.5, "deviates", None),
    "recorded: within plain of the record": (at(0), at(0), at(10), 11.5, "deviates", PLAIN),
    "recorded: inside the reference": (at(0), at(0), at(10), 0.5, "changed", STALE_RECORD),
    "recorded: neither": (at(0), at(0), at(10), 5, "changed", OTHERWISE),
    "recorded on a declared: inside the record": (at(0), at(10), at(20), 20, "deviates", None),
    "recorded on a declared: inside the declared": (at(0), at(10), at(20), 10, "changed", ONLY_DECLARED),
    "recorded on a declared: inside the reference": (at(0), at(10), at(20), 0, "changed", STALE_RECORD),
    "recorded on a declared: none": (at(0), at(10), at(20), 5, "changed", OTHERWISE),
    "recorded too close to tell: inside the record alone": (at(0), at(0), at(3), 3, "deviates", None),
    "recorded as rough: inside the record": (at(0), at(0), VAGUE, 30, "deviates", None),
    "recorded as rough: good after all": (at(0), at(0), VAGUE, 0.5, "agrees", None),
    "recorded as rough: good after all as declared": (at(0), at(10), at(10, 50, 100), 10.5, "deviates", None),
    "recorded as rough: worse": (at(0), at(0), VAGUE, 300, "changed", OTHERWISE),
    "recorded back to the reference: inside": (at(0), at(10), at(0), 0.5, "agrees", None),
    "recorded back to the reference: outside": (at(0), at(10), at(0), 10, "differs", None),
    "NaN": (at(0), at(0), None, np.nan, "differs", None),
    "NaN, apart": (at(0), at(10), None, np.nan, "differs", NEITHER),
    "NaN as declared": (at(0), at(np.nan), None, np.nan, "deviates", None),
    "infinity as the reference": (at(np.inf), at(np.inf), None, np.inf, "agrees", None),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_table(row: tuple[Expected, Expected, Expected | None, float, str, str | None]) -> None:
    """The verdict and its reason follow from which predictions are apart and which one is observed."""
    reference, declared, recorded, observed, verdict, why = row
    ruling = rule(np.array([observed], np.float64), reference, declared, recorded)
    assert (verdict, why) == (ruling.verdict, ruling.why)


DISCRIMINATING = {
    "alike": (at(0), at(0), None, False),
    "not apart": (at(0), at(3), None, False),
    "apart": (at(0), at(10), None, True),
    "recorded": (at(0), at(0), at(10), True),
    "recorded as rough": (at(0), at(0), VAGUE, True),
    "recorded back to the reference": (at(0), at(10), at(0), False),
}


@pytest.mark.parametrize("row", DISCRIMINATING.values(), ids=DISCRIMINATING.keys())
def test_discriminates(row: tuple[Expected, Expected, Expected | None, bool]) -> None:
    """The ruling says whether the case tells the reference from what is declared or recorded."""
    reference, declared, recorded, discriminates = row
    assert discriminates == rule(np.full(1, 30.0), reference, declared, recorded).discriminates


def test_a_record_that_was_not_needed_is_not_used() -> None:
    """A record of poor rounding made the verdict only where the rounding was poor."""
    assert [True, False] == [rule(np.full(1, seen), at(0), at(0), VAGUE).by_record for seen in (30.0, 0.5)]


MISMATCHES = {
    "shape": (at(0), at(0), None, np.zeros(2), "differs", "shape (2,), expected (1,)"),
    "dtype": (at(0), at(0), None, np.zeros(1, np.float32), "differs", "dtype float32, expected float64"),
    "dtype as declared": (at(0), at(0, dtype="float32"), None, np.zeros(1, np.float32), "deviates", None),
    "dtype no longer as declared": (at(0), at(0, dtype="float32"), None, np.zeros(1), "changed", STALE_DECLARATION),
    "dtype of neither": (
        at(0), at(0, dtype="float32"), None, np.zeros(1, np.float16), "differs",
        f"{NEITHER}: dtype float16, expected float32",
    ),
    "dtype no longer as recorded": (at(0), at(0), at(0, dtype="float32"), np.zeros(1), "changed", STALE_RECORD),
    "dtype other than recorded": (
        at(0), at(0), at(0, dtype="float32"), np.zeros(1, np.float16), "changed",
        f"{OTHERWISE}: dtype float16, expected float32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", MISMATCHES.values(), ids=MISMATCHES.keys())
def test_mismatches(row: tuple[Expected, Expected, Expected | None, np.ndarray, str, str | None]) -> None:
    """Shape and dtype are judged before values, by the same table."""
    reference, declared, recorded, observed, verdict, why = row
    ruling = rule(observed, reference, declared, recorded)
    assert (verdict, why) == (ruling.verdict, ruling.why)


def test_one_bad_element_decides() -> None:
    """An array fits a prediction with all its elements or not at all."""
    ruling = rule(np.array([10.0, 0.0]), at(0, n=2), at(10, n=2))
    assert "differs" == ruling.verdict


def test_what_a_record_changes() -> None:
    """A record says something if its prediction is apart from the declared one, or clearly wider."""
    assert changes(at(0), at(10))
    assert changes(at(0), VAGUE)
    assert not changes(at(0), at(1))
    assert not changes(VAGUE, at(0))
