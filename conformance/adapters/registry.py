"""Finds adapters by name, without importing any: built in, by entry point, or as ``module:Class``."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from conformance.adapters.contract import Adapter
from conformance.errors import AdapterError

__all__ = ["AdapterSpec", "find", "installed", "known", "load", "missing"]

GROUP = "conformance.adapters"
_DISTRIBUTION = "batchnorm-conformance"


@dataclass(frozen=True)
class AdapterSpec:
    """Where an adapter is, and what it needs.

    ``target`` is ``module:Class``; ``requires`` names distributions, alternatives separated by
    ``|``, the one whose version labels the column first; ``install`` is the command that brings them.
    ``execution`` is how the implementation runs its calls; ``default`` tells whether a run that
    names no adapter asks this one.
    """

    name: str
    target: str
    requires: tuple[str, ...] = ()
    install: str = ""
    execution: str = "eager"
    default: bool = True

    @property
    def is_installed(self) -> bool:
        """Return whether all that it requires is installed; says nothing of whether it imports."""
        return all(any(map(_version, choice.split("|"))) for choice in self.requires)

    @property
    def version(self) -> str:
        """Return the version of the first of what it requires; empty if it requires nothing or lacks it."""
        choices = self.requires[0].split("|") if self.requires else []
        return next(filter(None, map(_version, choices)), "")


_BUILT_IN = {
    row.name: AdapterSpec(
        row.name, row.target, row.requires, row.install or f"pip install '{_DISTRIBUTION}[{row.extra}]'".replace("[]", ""),
        row.execution, row.name in DEFAULTS,
    )
    for row in BUILT_IN
}  # fmt: skip
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def known() -> dict[str, AdapterSpec]:
    """Return every adapter that has a name, built in or by entry point, installed or not."""
    return _BUILT_IN | {
        point.name: AdapterSpec(point.name, point.value, (), _install_command(point))
        for point in metadata.entry_points(group=GROUP)
        if point.name not in _BUILT_IN
    }


def installed() -> dict[str, AdapterSpec]:
    """Return the adapters whose frameworks are installed."""
    return {name: spec for name, spec in known().items() if spec.is_installed}


def missing() -> dict[str, str]:
    """Return the adapters whose frameworks are not installed, each with the command that installs them."""
    return {name: spec.install for name, spec in known().items() if not spec.is_installed}


def find(name: str) -> AdapterSpec:
    """Return the adapter of that name; a ``module:Class`` is taken as it is, and looked up when used.

    Raises:
        AdapterError: no adapter is named so.
    """
    if _TARGET.fullmatch(name):
        return AdapterSpec(name, name)
    adapters = known()
    if name in adapters:
        return adapters[name]
    close = difflib.get_close_matches(name, adapters, n=2, cutoff=0.5)
    meant = f"; did you mean {' or '.join(close)}?" if close else f"; known are {', '.join(adapters)}"
    raise AdapterError(
        f"no adapter is named {name!r}{meant}",
        hint="or give one of your own as module:Class, such as my_adapter:Adapter",
    )


def load(spec: AdapterSpec) -> Adapter:
    """Import an adapter and build it.

    Raises:
        AdapterError: the module lacks the class, or it is no adapter.
        Exception: whatever importing or building it raises.
    """
    module_name, _, attribute = spec.target.partition(":")
    here = str(Path.cwd())
    if spec.name == spec.target and here not in sys.path:
        sys.path.append(here)
    found = getattr(importlib.import_module(module_name), attribute, None)
    if found is None:
        raise AdapterError(f"module {module_name} has no {attribute}", hint="name the adapter's class after the colon")
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise AdapterError(
            f"{spec.target} is not an adapter", hint="derive the class from conformance.adapters.contract.Adapter"
        )
    return found()


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _install_command(point: metadata.EntryPoint) -> str:
    return f"pip install {point.dist.name}" if point.dist is not None else ""
