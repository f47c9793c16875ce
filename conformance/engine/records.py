"""The recorded deviations of a run: loaded and held against the corpus before it, and against its cells after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conformance.adapters.registry import known
from conformance.corpus.case import Case
from conformance.results.read import Results
from conformance.verdict.deviations import Deviation, load_deviations
from conformance.verdict.deviations_check import check_against, strangers, unused

__all__ = ["records_for", "stale"]


def records_for(corpus: Sequence[Case], files: Sequence[Path], *, own_corpus: bool = True) -> tuple[Deviation, ...]:
    """Return the suite's records and those of ``files``; the suite's are about its own corpus only.

    Those of ``files`` are held against the corpus now, the suite's own by ``conformance check`` and its tests: that
    predicts every case that they cover, which a user has no need to wait for.

    Raises:
        DeviationError: one is malformed, matches no case of the corpus, or covers too much.
    """
    records, own = load_deviations(files), len(load_deviations())
    check_against(records[own:], corpus)
    return records if own_corpus else records[own:]


def stale(deviations: Sequence[Deviation], corpus: Sequence[Case], results: Results) -> list[str]:
    """Return a message for each record that the finished run shows to match nothing.

    Whether the suite's own records are of somebody is for its own tests: a user could not mend it.
    """
    columns = results.run.implementations
    names = {*(name.partition(":")[0] for name in known()), *(column.name for column in columns)}
    own = load_deviations()
    given = [record for record in deviations if record not in own]
    return [*strangers(given, names), *unused(deviations, corpus, columns, results.cells)]
