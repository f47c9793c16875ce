"""Which adapters a run asks: those named, those asked by default, or all that are installed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from conformance.adapters import registry
from conformance.errors import AdapterError, UsageError
from conformance.host.configuration import ConfiguredHost, load_hosts, project_hosts

__all__ = ["CANARY", "adapters_to_run", "configured_hosts", "not_installed"]

#: The oracle's own formulas: part of every run.
CANARY = "numpy"


def configured_hosts(file: Path | None, folder: Path) -> dict[str, ConfiguredHost]:
    """Return the hosts of the ``file`` that a command was given, else those of ``pyproject.toml`` in ``folder``.

    Raises:
        UsageError: the file is malformed; says where.
    """
    return project_hosts(folder) if file is None else load_hosts(file)


def adapters_to_run(
    named: Sequence[str], *, everything: bool = False, hosts: Collection[str] = (), alone: bool = False
) -> list[str]:
    """Return the adapters to run, the canary first.

    Without a name these are the installed ones that run by default, or ``everything`` that is installed, and
    the configured ``hosts``; these ``alone``, if a command was given their file.

    Raises:
        AdapterError: a name is unknown, or what its adapter needs is not installed.
        UsageError: names are given beside ``everything``.
    """
    if named and everything:
        raise UsageError("--adapter names some adapters and --all asks for all: give one of the two")
    if not named:
        default = () if alone and not everything else registry.installed().items()
        here = [name for name, spec in default if everything or spec.default]
        return list(dict.fromkeys([CANARY, *here, *hosts]))
    absent = registry.missing()
    for name in named:
        if name in hosts:
            continue
        spec = registry.find(name, also=hosts)
        if spec.name in absent:
            raise AdapterError(f"adapter {spec.name}: what it needs is not installed", hint=absent[spec.name])
    return list(dict.fromkeys([CANARY, *named]))


def not_installed(named: Sequence[str], *, everything: bool = False, alone: bool = False) -> dict[str, str]:
    """Return those that such a run would ask if they were installed, each with the command that installs it."""
    known = registry.known()
    return {
        name: command
        for name, command in registry.missing().items()
        if everything or (not named and not alone and known[name].default)
    }
