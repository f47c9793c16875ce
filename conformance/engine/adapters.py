"""Which adapters a run asks: those named, those asked by default, or all that are installed."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters import registry
from conformance.errors import AdapterError, UsageError

__all__ = ["CANARY", "adapters_to_run"]

#: The oracle's own formulas: part of every run.
CANARY = "numpy"


def adapters_to_run(named: Sequence[str], *, everything: bool = False) -> list[str]:
    """Return the adapters to run, the canary first.

    Without a name these are the installed ones that run by default, or ``everything`` that is installed.

    Raises:
        AdapterError: a name is unknown, or what its adapter needs is not installed.
        UsageError: names are given beside ``everything``.
    """
    if named and everything:
        raise UsageError("--adapter names some adapters and --all asks for all: give one of the two")
    if not named:
        return [name for name, spec in registry.installed().items() if everything or spec.default]
    absent = registry.missing()
    for name in named:
        spec = registry.find(name)
        if spec.name in absent:
            raise AdapterError(f"adapter {spec.name}: what it needs is not installed", hint=absent[spec.name])
    return list(dict.fromkeys([CANARY, *named]))


def not_installed(named: Sequence[str], *, everything: bool = False) -> dict[str, str]:
    """Return those that such a run would ask if they were installed, each with the command that installs it."""
    known = registry.known()
    return {
        name: command
        for name, command in registry.missing().items()
        if everything or (not named and known[name].default)
    }
