"""The client of a Dask scheduler: connected, or told plainly why not."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conformance.errors import UsageError
from conformance.pages import page

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Member", "askers", "connect", "members"]

_TIMEOUT = 10


@dataclass(frozen=True)
class Member:
    """A Dask worker: where it is, how many tasks it takes at a time, and what it was labelled with."""

    address: str
    threads: int
    labels: frozenset[str] = field(default_factory=frozenset)


def connect(address: str) -> Client:
    """Return a client of the scheduler at ``tcp://host:port``.

    Raises:
        UsageError: ``distributed`` is not installed, or nobody answers there.
    """
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("--cluster needs Dask's distributed, which is not installed",
                         hint="pip install 'batchnorm-conformance[cluster]'")  # fmt: skip
    from distributed import Client  # noqa: PLC0415  an extra

    if re.fullmatch(r"[a-z]+://.+:\d+", address) is None:
        raise UsageError(f"--cluster {address}: found no address, expected one such as tcp://192.168.0.1:8786",
                         hint="`dask scheduler` prints it")  # fmt: skip
    try:
        return Client(address, timeout=_TIMEOUT, set_as_default=False, name="conformance")
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"--cluster {address}: no scheduler answers: {error}",
            hint=f"`dask scheduler` prints its address, such as tcp://192.168.0.1:8786; {page('scale.md')} tells more",
        ) from None


def members(client: Client) -> Mapping[str, Member]:
    """Return the workers that the scheduler has now, by address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {
        address: Member(address, told["nthreads"], frozenset(told["resources"]))
        for address, told in workers.items()
    }


def askers(client: Client) -> tuple[str, ...]:
    """Return who is connected to the scheduler now, this client among them."""
    # A lambda travels by value: the suite need not be installed where the scheduler is.
    found: list[str] = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))
    return tuple(found)
