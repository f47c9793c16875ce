"""Finds adapters by name, without importing any: built in, by entry point, or as ``module:Class``."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import sys
from collections.abc import Collection
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from conformance.adapters.built_in import BUILT_IN, AdapterSpec
from conformance.adapters.contract import Adapter
from conformance.errors import AdapterError

__all__ = ["AdapterSpec", "find", "installed", "known", "load", "missing", "refuse_absent"]

GROUP = "conformance.adapters"
_OWN = "or give one of your own as module:Class, such as my_adapter:Adapter"
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def known() -> dict[str, AdapterSpec]:
    """Return every adapter that has a name, built in or by entry point, installed or not."""
    return BUILT_IN | {
        point.name: AdapterSpec(point.name, point.value, (), _install_command(point))
        for point in metadata.entry_points(group=GROUP)
        if point.name not in BUILT_IN
    }


def installed() -> dict[str, AdapterSpec]:
    """Return the adapters whose frameworks are installed."""
    return {name: spec for name, spec in known().items() if spec.is_installed}


def missing() -> dict[str, str]:
    """Return the adapters whose frameworks are not installed, each with the command that installs what is lacking."""
    return {name: spec.remedy for name, spec in known().items() if not spec.is_installed}


def find(name: str, also: Collection[str] = (), *, hint: str = _OWN) -> AdapterSpec:
    """Return the adapter of that name; a ``module:Class`` is taken as it is, and looked up when used.

    ``also`` are names that the user could have meant beside those known here; ``hint`` is told of one that is not.

    Raises:
        AdapterError: no adapter is named so.
    """
    adapters = known()
    if name in adapters:
        return adapters[name]
    own, _, _ = name.partition(":")
    if _TARGET.fullmatch(name) and own not in adapters:
        return AdapterSpec(name, name)
    candidates = (*adapters, *also)
    begun = [one for one in candidates if one.startswith(name)]
    close = begun[:3] or difflib.get_close_matches(name, candidates, n=2, cutoff=0.6)
    meant = f"; did you mean {' or '.join(close)}?" if close else f"; known are {', '.join(candidates)}"
    raise AdapterError(f"no adapter is named {name!r}{meant}", hint=hint)


def refuse_absent(name: str) -> None:
    """Refuse a ``module:Class`` whose module a host started here would not find; nothing is imported.

    Raises:
        AdapterError: there is no such module.
    """
    if name in known() or ":" not in name:
        return
    package, folders = re.split(r"[.:]", name)[0], os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if importlib.util.find_spec(package) is None and PathFinder.find_spec(package, [str(Path.cwd()), *folders]) is None:
        raise AdapterError(
            f"adapter {name}: no module {package} is found, neither in {Path.cwd()} nor in the environment",
            hint=f"start it in the folder that holds {package}.py, or name that folder in PYTHONPATH",
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


def _install_command(point: metadata.EntryPoint) -> str:
    return f"pip install {point.dist.name}" if point.dist is not None else ""
