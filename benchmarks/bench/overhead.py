"""The suite's own cost of a cell: the time until it is judged and written, less that of the implementation's calls.

Every fourth case of the default set on palette shapes (networks apart, which have shapes of their own) is put to
each of the default implementations, in a host of its own, as a run does it: inputs, host round trip, oracle,
judging and writing are inside, and so is waiting for the host to be woken and for its answer to be. As in a run, the
implementations share what is made of a case: its inputs, the request, and predictions by what decides alike.
Five rounds, each of which predicts anew; of a cell the round with the least own cost counts, since whatever else
the machine does only adds. Seconds are wall time, what a run takes: on a machine that does much else, waiting for a
core is in them too.

``overhead_ms_per_cell`` is the median over all cells; ``overhead_ms_alone`` that of the first implementation, which
finds no prediction made. ``overhead_percent_on_slow_cells`` is, of the cells in which the implementation's calls
take more than 10 ms, the suite's own time over the implementation's, in total and in percent.
"""

from __future__ import annotations

from statistics import median

from benchmarks.bench.common import DEFAULT, Timed, asked, forget, palette_cases, recorder
from conformance.host.session import HostSession

_ROUNDS, _EVERY, _SLOW = 5, 4, 0.01


def measure() -> dict[str, float]:
    """Return the figures."""
    cases = palette_cases()[::_EVERY]
    rounds: dict[tuple[str, str], list[Timed]] = {}
    sessions = {name: HostSession(name) for name in DEFAULT}
    try:
        for _ in range(_ROUNDS):
            forget()
            with recorder(cases) as results:
                for name, session in sessions.items():
                    for case, one in zip(cases, asked(cases, session, results), strict=True):
                        rounds.setdefault((name, case.id), []).append(one)
    finally:
        for session in sessions.values():
            session.close()
    least = {key: min(ones, key=lambda one: one.own) for key, ones in rounds.items()}
    slow = [one for one in least.values() if one.cell.row.seconds > _SLOW]
    return {
        "overhead_ms_per_cell": 1e3 * median(one.own for one in least.values()),
        "overhead_ms_alone": 1e3 * median(one.own for (name, _), one in least.items() if name == DEFAULT[0]),
        "overhead_percent_on_slow_cells": 100 * sum(one.own for one in slow) / sum(o.cell.row.seconds for o in slow),
        "slow_cells": len(slow),
    }
