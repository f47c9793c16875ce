"""``conformance identify``: the dialect card of an implementation, found by asking it."""

from __future__ import annotations

import argparse
import sys
import textwrap
from contextlib import closing
from typing import Any

import msgspec

from conformance.adapters.contract import Defaults, Implementation
from conformance.adapters.naming import naming_of
from conformance.cli.asking import NoAnswerError, started
from conformance.corpus.case import Case
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.session import HostSession
from conformance.identify.card import Card, Line, identify
from conformance.identify.probes import FACTS

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Find out by asking which dialect an implementation speaks."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("implementation", metavar="IMPLEMENTATION", help="an adapter's name, or module:Class")
    parser.add_argument("--json", action="store_true", help="for programs")


def execute(arguments: argparse.Namespace) -> int:
    """Ask, and print the card.

    Raises:
        AdapterError: the name is unknown, or what it needs is not installed.
        NoAnswerError: the adapter failed where only itself can be at fault.
    """
    with closing(started(arguments.implementation)) as session:
        naming = naming_of(arguments.implementation)
        who, defaults = session.implementation, session.defaults
        card = identify(_Sound(session), defaults=defaults, naming=naming)
    sys.stdout.write(_json(who, card, defaults) if arguments.json else _text(who, card))
    return 0


class _Sound:
    """A session whose faults end the command: they say nothing of the implementation."""

    def __init__(self, session: HostSession) -> None:
        self.session = session

    def observe(self, case: Case) -> Observation | Crashed | Faulty:
        seen = self.session.observe(case)
        if isinstance(seen, Faulty):
            raise NoAnswerError(f"{self.session.adapter}: {seen.reason}")
        return seen


def _text(who: Implementation, card: Card) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in who.versions.items())
    lines = [f"{who.name} ({versions}), {who.execution}: what it does, found by asking it", ""]
    for line in card.lines:
        lines += [f"{line.name}: {line.found}", *textwrap.wrap(line.evidence, 116, initial_indent="    ",
                  subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)]  # fmt: skip
    named = [name for name in FACTS if any(_speaks_of(name, line) for line in card.lines)]
    width = max(map(len, named), default=0)
    lines += ["", "What was done in the probes that are named:"] if named else []
    return "\n".join([*lines, *(f"    {name:{width}}  {card.facts[name]}" for name in named)]) + "\n"


def _speaks_of(probe: str, line: Line) -> bool:
    return f"probe {probe}," in line.evidence or line.name == f"unexplained in probe {probe}"


def _json(who: Implementation, card: Card, defaults: Defaults | None) -> str:
    told: dict[str, Any] = {
        "implementation": who.id,
        "dialect": dict(card.dialect),
        "mistakes": list(card.mistakes),
        "in_some_probes": [{"variants": list(one.variants), "probes": list(one.probes)} for one in card.local],
        "unexplained": list(card.unexplained),
        "running_variance": [
            {"rank": rank, "dtype": dtype, "estimator": option} for (rank, dtype), option in card.estimators.items()
        ],
        "defaults": None if defaults is None else dict(defaults.arguments),
        "lines": [{"name": one.name, "found": one.found, "evidence": one.evidence} for one in card.lines],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"
