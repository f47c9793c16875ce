"""``--resume``: the options that a run was asked with, read back from what it has left."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.engine.resume import left_in
from conformance.errors import UsageError
from conformance.results.read import Survey

__all__ = ["HERE", "asked", "restored"]

#: ``--resume`` without a folder: that of ``--output``.
HERE = object()
#: What may be otherwise when a run goes on: how fast, how patiently and where it is shown.
_FREE = ("output", "resume", "workers", "quiet", "in_process", "durations", "cluster", "verb")
#: Of these a resumed run keeps its own, unless it is told otherwise.
_ADJUSTABLE = ("time_limit", "memory_limit")


def asked(arguments: argparse.Namespace, configure: Callable[[argparse.ArgumentParser], None]) -> dict[str, Any]:
    """Return the options that are not the default and that decide what a run is, as JSON has them."""
    parser = argparse.ArgumentParser()
    configure(parser)
    default = vars(parser.parse_args([]))
    given = {name: value for name, value in vars(arguments).items() if name in default and value != default[name]}
    return {name: _plain(value) for name, value in given.items() if name not in _FREE}


def restored(
    arguments: argparse.Namespace, configure: Callable[[argparse.ArgumentParser], None]
) -> tuple[argparse.Namespace, Survey | None]:
    """Return the options to go on with, and what is there; ``None`` if the run begins.

    Raises:
        UsageError: there is nothing to go on with, or the options given are not those of the run.
        ResultsError: what is there cannot be read.
    """
    if arguments.resume is None:
        return arguments, None
    if arguments.resume is not HERE:
        arguments.output = arguments.resume
    kept = left_in(arguments.output)
    if kept is None:
        if arguments.resume is HERE:
            return arguments, None
        raise UsageError(f"--resume: no run has left results in {arguments.output}", hint="name the folder of a run")
    parser = argparse.ArgumentParser()
    configure(parser)
    default = vars(parser.parse_args([]))
    for name, value in asked(arguments, configure).items():
        if name not in _ADJUSTABLE and kept.run.asked.get(name) != value:
            option = f"--{name.replace('_', '-')}"
            began = kept.run.asked.get(name, "left out")
            raise UsageError(
                f"{option} is {value}, and the run in {arguments.output} was asked with {option} {began}",
                hint="leave it out, or run again without --resume",
            )
    for name, value in kept.run.asked.items():
        if name in default and getattr(arguments, name) == default[name]:
            setattr(arguments, name, _typed(value, default[name], name))
    return arguments, kept


_PATHS = ("cases", "deviations", "implementations")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _typed(value: Any, default: Any, name: str) -> Any:
    if name not in _PATHS:
        return value
    return [Path(one) for one in value] if isinstance(default, list) else Path(value)
