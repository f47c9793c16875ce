"""What compiled executions are asked where nobody says: the cases in which they could part from the eager one.

A shape costs a compiler up to seconds, so that the whole default set would take one of them most of an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conformance.adapters import registry
from conformance.corpus.case import Case
from conformance.corpus.select import matches
from conformance.engine.adapters import CANARY

__all__ = ["PART", "part_asked"]

_COMPILED = {"compile", "graph", "jit", "xla"}
#: Formulas, gradients, and what a trace could keep from its first call: modes, freezing, state.
PART = (
    "execution/*", "frozen/*", "gradients_train/*", "gradients_evaluate/*", "normalise/*", "running_stats/*",
    "state_moves/*",
)  # fmt: skip


def part_asked(adapters: Sequence[str], corpus: Iterable[Case], patterns: Sequence[str]) -> list[str]:
    """Return the patterns of a run of these adapters: those that were given, or those of the part.

    The part is taken where no pattern is given and all adapters, the canary apart, are compiled executions; of another
    corpus, which has none of it, everything is asked.
    """
    known = registry.known()
    executions = [known[name].execution if name in known else "" for name in adapters if name != CANARY]
    if patterns or not executions or not _COMPILED.issuperset(executions):
        return list(patterns)
    ids = [case.id for case in corpus]
    return [pattern for pattern in PART if any(matches(pattern, one) for one in ids)]
