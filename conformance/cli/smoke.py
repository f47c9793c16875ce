"""``conformance smoke``: tells an adapter's fault from the implementation's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from conformance.adapters import registry
from conformance.engine.adapters import configured_hosts
from conformance.errors import AdapterError, UnstartedError, UsageError
from conformance.host.messages import Checked
from conformance.host.observation import Crashed, Faulty
from conformance.host.session import HostSession
from conformance.smoke.checks import CHECKS

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Tell an adapter's fault from the implementation's, by small checks."
#: Seconds that a check may take: a compiler may need many.
_TIME_LIMIT = 300.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("adapter", metavar="ADAPTER", help="its name, module:Class, or a host by command whose adapter is in Python")
    add("--implementations", type=Path, metavar="FILE", help="hosts by command (default: those of pyproject.toml)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where it computes (default: cpu)")
    add("--in-process", action="store_true", help="run the adapter without a host process, for debuggers")


def execute(arguments: argparse.Namespace) -> int:
    """Print a line for each check; return 0, 1 if the implementation ended its host, 3 if the adapter is at fault.

    Raises:
        AdapterError: the name is unknown, or what it needs is not installed.
        UsageError: the host is no adapter in Python, which alone can be looked into.
    """
    with closing(_session(arguments)) as session:
        try:
            who = session.implementation
        except UnstartedError as error:
            sys.stdout.write("\n".join(_lines("start", "it can be imported and described", _unstarted(error))) + "\n")
            return 3
        sys.stdout.write(f"{who.id}\n\n")
        ended: list[Checked | Crashed | Faulty] = []
        for check in CHECKS.values():
            ended.append(found := session.check(check.name))
            if isinstance(found, Faulty) and found.reason.startswith("protocol failed"):
                raise UsageError(
                    f"{arguments.adapter} is no adapter in Python, and knows no checks: they look into its own process",
                    hint=f"put cases to it: conformance run --adapter {arguments.adapter} --case 'normalise/*'",
                )
            sys.stdout.write("\n".join(_lines(check.name, check.fact, found)) + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"\n{_conclusion(ended)}\n")
    return _exit_code(ended)


def _session(arguments: argparse.Namespace) -> HostSession:
    hosts, name = configured_hosts(arguments.implementations, Path.cwd()), arguments.adapter
    absent = registry.missing()
    if name not in hosts and name in absent:
        raise AdapterError(f"adapter {name}: what it needs is not installed", hint=absent[name])
    return HostSession(
        name, time_limit=_TIME_LIMIT, device=arguments.device, in_process=arguments.in_process, host=hosts.get(name)
    )


def _unstarted(error: UnstartedError) -> Checked:
    return Checked(
        did=str(error.args[0]), expected="a class that is built without arguments, and a describe() that answers",
        remedy=error.hint,
    )  # fmt: skip


def _lines(name: str, fact: str, found: Checked | Crashed | Faulty) -> Iterator[str]:
    """Yield a line, and three more where the fact does not hold."""
    if isinstance(found, Checked):
        word = "failed" if found.did else "-" if found.why else "ok"
        yield f"{word:6}  {name:11}  {fact}" + (f"; not asked: {found.why}" if found.why else "")
        told = [("did", found.did), ("expected", found.expected), ("to do", found.remedy)] if found.did else []
    else:
        yield f"{'ended' if isinstance(found, Crashed) else 'failed':6}  {name:11}  {fact}"
        told = [("did", found.reason)]
    yield from (f"        {label:9} {text}" for label, text in told)


def _conclusion(ended: list[Checked | Crashed | Faulty]) -> str:
    failed = sum(_failed(one) for one in ended)
    crashed = sum(isinstance(one, Crashed) for one in ended)
    not_asked = sum(isinstance(one, Checked) and bool(one.why) for one in ended)
    counts = f"{len(ended)} checks: {len(ended) - failed - crashed - not_asked} ok, {failed} failed"
    counts += f", {crashed} ended the process" if crashed else ""
    counts += f", {not_asked} not asked" if not_asked else ""
    if failed or crashed:
        return f"{counts}. Mend these first: until then a run tells nothing of the implementation."
    return f"{counts}. The adapter does what the contract wants: what a run finds is the implementation's."


def _failed(one: Checked | Crashed | Faulty) -> bool:
    return isinstance(one, Faulty) or (isinstance(one, Checked) and bool(one.did))


def _exit_code(ended: list[Checked | Crashed | Faulty]) -> int:
    if any(map(_failed, ended)):
        return 3
    return 1 if any(isinstance(one, Crashed) for one in ended) else 0
