"""The suite's own cost of a cell: the time from one cell to the next, less that of the implementation's calls.

Every fourth case of the default set on palette shapes (networks apart, which have shapes of their own) is put to
each of the default implementations, in a host of its own, as a run does it: inputs, host round trip, oracle,
judging and writing are inside, and so is waiting for the host to be woken and for its answer to be. As in a run, the
implementations share what is made of a case: its inputs, the request, and predictions by what decides alike; and while
a cell is judged the host has the next case already, so that of judging only what its host does not wait out counts.
Five rounds, each of which predicts anew; of a cell its median round counts. Seconds are wall time, what a run takes:
on a machine that does much else, waiting for a core is in them too.

``overhead_ms_per_cell`` is the median over all cells; ``overhead_ms_alone`` that of the first implementation, which
finds no prediction made; ``overhead_ms_in_turn`` the median where each case is put only when the one before it has
been written, as ``pytest`` does: nothing is hidden there, and what a core has to do for a cell is in it.
``overhead_percent_on_slow_cells`` is, of the cells in which the implementation's calls take more than 10 ms, the
suite's own time over the implementation's, in total and in percent.
"""

from __future__ import annotations

from statistics import median

from benchmarks.bench.common import DEFAULT, Timed, asked, forget, palette_cases, recorder
from conformance.host.session import HostSession

_ROUNDS, _EVERY, _SLOW = 5, 4, 0.01
#: The rounds of a cell, by implementation and case.
Rounds = dict[tuple[str, str], list[Timed]]


def measure() -> dict[str, float]:
    """Return the figures."""
    sessions = {name: HostSession(name) for name in DEFAULT}
    ahead: Rounds = {}
    in_turn: Rounds = {}
    try:
        for _ in range(_ROUNDS):
            _round(sessions, in_turn, ahead=False)
            _round(sessions, ahead, ahead=True)
    finally:
        for session in sessions.values():
            session.close()
    own = {key: median(one.own for one in ones) for key, ones in ahead.items()}
    inside = {key: median(one.cell.row.seconds for one in ones) for key, ones in ahead.items()}
    slow = [key for key, seconds in inside.items() if seconds > _SLOW]
    return {
        "overhead_ms_per_cell": 1e3 * median(own.values()),
        "overhead_ms_alone": 1e3 * median(seconds for (name, _), seconds in own.items() if name == DEFAULT[0]),
        "overhead_ms_in_turn": 1e3 * median(median(one.own for one in ones) for ones in in_turn.values()),
        "overhead_percent_on_slow_cells": 100 * sum(own[key] for key in slow) / sum(inside[key] for key in slow),
        "slow_cells": len(slow),
    }


def _round(sessions: dict[str, HostSession], kept: Rounds, *, ahead: bool) -> None:
    """Put all cases to all implementations once, and keep what each cell took."""
    cases = palette_cases()[::_EVERY]
    forget()
    with recorder(cases) as results:
        for name, session in sessions.items():
            for one in asked(cases, session, results, ahead=ahead):
                kept.setdefault((name, one.cell.row.case), []).append(one)
