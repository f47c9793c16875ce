"""``fuzz --cluster``: blocks of drawn cases, taken by the seats of a cluster."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing

from msgspec.structs import replace

from conformance.cluster.connection import connect, members
from conformance.cluster.crew import crewed
from conformance.cluster.messages import Search, Searched
from conformance.cluster.seat import Seat, SeatedSession, Wanted
from conformance.errors import UnstartedError
from conformance.fuzz.search import BLOCK, Fuzzed, Witness

__all__ = ["fuzz_on_cluster"]


def fuzz_on_cluster(
    address: str, wanted: Wanted, *, examples: int, seconds: float, seed: int, progress: Callable[[Fuzzed], None]
) -> tuple[str, Fuzzed]:
    """Judge the blocks that ``fuzz.search.search`` would, each at some seat; return who was asked, and what came of it.

    A block draws the same cases wherever it is drawn, and of blocks with a case that fails the first one counts: what
    is found is what a search on one machine finds, unless time ends it.

    Raises:
        UsageError: nobody answers at the address.
        UnstartedError: the implementation starts nowhere.
        ClusterError: workers are missing for what is left to do.
    """
    client = connect(address)
    try:
        labels = frozenset().union(*(member.labels for member in members(client).values()))
        blocks = _Blocks(replace(wanted, labelled=wanted.adapter in labels), examples, time.monotonic() + seconds, seed)
        began = time.monotonic()
        crewed(client, lambda seat: blocks.work(seat, progress), blocks.left, blocks.stop)
        found = blocks.found()
        found.seconds = time.monotonic() - began
        return blocks.asked, found
    finally:
        client.close()


class _Blocks:
    """What is to be searched, by whom it is, and what came of it."""

    def __init__(self, wanted: Wanted, examples: int, deadline: float, seed: int) -> None:
        self.wanted, self.examples, self.deadline, self.seed = wanted, examples, deadline, seed
        self.asked = ""
        self._waiting = deque(range(-(-examples // BLOCK)))
        self._taken: set[int] = set()
        self._done: dict[int, Searched] = {}
        self._unstarted: UnstartedError | None = None
        self._changed = threading.Condition()

    def work(self, seat: Seat, progress: Callable[[Fuzzed], None]) -> None:
        """Search block after block at one seat, until there is none left."""
        if not self.wanted.fits(seat.member):
            return
        try:
            session = SeatedSession(seat, self.wanted)
        except UnstartedError as error:
            self._unstarted = error
            return
        self.asked = session.implementation.id
        with closing(session):
            while (block := self._take()) is not None:
                found = None
                try:
                    found = session.search(self._question(block))
                finally:
                    self._give(block, found)
                progress(self.found())

    def left(self) -> str:
        """Say what is left to do.

        Raises:
            UnstartedError: the implementation has started nowhere.
        """
        if not self.asked and self._unstarted is not None:
            raise self._unstarted
        return f"{len(self._waiting)} blocks of {BLOCK} cases" if self._waiting else ""

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._waiting.clear()
            self._taken.clear()
            self._changed.notify_all()

    def found(self) -> Fuzzed:
        """Return what came of the blocks up to the first with a case that fails."""
        total = Fuzzed()
        with self._changed:
            for _, one in sorted(self._done.items()):
                total.examples += one.examples
                total.verdicts.update(one.verdicts)
                total.known.update(one.known)
                if one.case is not None:
                    told = one.verdict, one.explanation, one.clauses
                    total.witness = Witness(one.case, *told, self.asked)  # type: ignore[arg-type]
                    break
        return total

    def _question(self, block: int) -> Search:
        left = self.deadline - time.monotonic()
        return Search(
            seed=self.seed, block=block, examples=min(BLOCK, self.examples - block * BLOCK),
            seconds=None if left == float("inf") else max(left, 0.0),
        )  # fmt: skip

    def _take(self) -> int | None:
        """Return the next block; waits while others are at theirs, who may be lost."""
        with self._changed:
            while True:
                if time.monotonic() > self.deadline:
                    self._waiting.clear()
                if self._waiting:
                    block = self._waiting.popleft()
                    self._taken.add(block)
                    return block
                if not self._taken:
                    return None
                self._changed.wait(1)

    def _give(self, block: int, found: Searched | None) -> None:
        """Keep what came of a block, or put it back; behind one that fails nothing need be searched."""
        with self._changed:
            self._taken.discard(block)
            if found is None:
                self._waiting.appendleft(block)
            else:
                self._done[block] = found
            failing = min((at for at, one in self._done.items() if one.case is not None), default=None)
            if failing is not None:
                self._waiting = deque(at for at in self._waiting if at < failing)
            self._changed.notify_all()
