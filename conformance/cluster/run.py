"""``run --cluster``: the schedule of a run, driven by the seats of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from conformance.cluster.connection import Member, connect, members
from conformance.cluster.crew import crewed
from conformance.cluster.seat import Seat, SeatedSession, Wanted
from conformance.corpus.case import Case
from conformance.engine.cell import Cell
from conformance.engine.drive import Drive
from conformance.engine.resume import NOTHING, Finished
from conformance.engine.schedule import Schedule
from conformance.errors import AdapterError

__all__ = ["run_on_cluster"]


def run_on_cluster(
    address: str, cases: Sequence[Case], wanted: Sequence[Wanted], *, done: Callable[[Cell], None],
    finished: Finished = NOTHING,
) -> list[AdapterError]:  # fmt: skip
    """Put every case to every implementation on the cluster at ``address``; otherwise as ``engine.local.run_cells``.

    Each seat of a Dask worker starts hosts of its own there, and judges there; what a lost worker had taken is put back
    and done elsewhere. Where a worker names an implementation among its resources, those that do are asked for it, and
    no others.

    Raises:
        UsageError: nobody answers at the address.
        ClusterError: workers are missing for what is left to do.
    """
    client = connect(address)
    try:
        labels = frozenset().union(*(member.labels for member in members(client).values()))
        named = [replace(one, labelled=one.adapter in labels) for one in wanted]
        drive = Drive(Schedule(cases, named), done, finished)

        unfit: set[tuple[str, str]] = set()

        def may(one: Wanted, member: Member) -> bool:
            return one.fits(member) and (one.adapter, member.address) not in unfit

        def others(one: Wanted, seat: Seat) -> bool:
            unfit.add((one.adapter, seat.member.address))
            return any(may(one, member) for member in members(client).values())

        def work(seat: Seat) -> None:
            drive.work(
                lambda one: SeatedSession(seat, one), lambda one: may(one, seat.member), lambda one: others(one, seat)
            )

        def left() -> str:
            open_ = drive.schedule.unfinished()
            return ", ".join(f"{len(column.waiting)} cases on {column.start.adapter}" for column in open_)

        crewed(client, work, left, drive.stop)
        return drive.failed
    finally:
        client.close()
