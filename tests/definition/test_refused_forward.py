"""A backward of a forward that was refused is refused too."""

from __future__ import annotations

import msgspec

from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Refused
from conformance.definition.rules import Rules
from conformance.verdict.oracle import Question


def test_a_backward_of_a_refused_forward_is_refused() -> None:
    """Where evaluating without running statistics raises, going back through it raises as well."""
    steps = [{"evaluate": "a", "name": "first"}, {"backward": "first", "gradients": ["x"]}]
    made = {"id": "made/up", "fact": "It is made up.", "clauses": ["11.1"], "tracked": False, "steps": steps}
    predicted = Question(msgspec.convert(made, Case)).predict(Rules(dialect=Dialect(untracked="refused")))
    assert [(1, Refused), (2, Refused)] == [(step, type(one)) for (step, _), one in predicted.items()]
