"""Which adapters a run asks: those named, or all whose implementation is installed."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters import registry
from conformance.errors import AdapterError

__all__ = ["CANARY", "adapters_to_run"]

#: The oracle's own formulas: part of every run.
CANARY = "numpy"


def adapters_to_run(named: Sequence[str]) -> list[str]:
    """Return the adapters to run, the canary first.

    Raises:
        AdapterError: a name is unknown, or what its adapter needs is not installed.
    """
    if not named:
        return list(registry.installed())
    absent = registry.missing()
    for name in named:
        spec = registry.find(name)
        if spec.name in absent:
            raise AdapterError(f"adapter {spec.name}: what it needs is not installed", hint=absent[spec.name])
    return list(dict.fromkeys([CANARY, *named]))
