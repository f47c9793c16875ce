"""``conformance identify``: the dialect card of an implementation, found by asking it."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

import msgspec

from conformance.adapters.contract import Implementation
from conformance.cli.asking import NoAnswerError, started
from conformance.corpus.case import Case
from conformance.host.observation import Crashed, Faulty, Observation
from conformance.host.session import HostSession
from conformance.identify.card import Card, identify

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
        who, card = session.implementation, identify(_Sound(session))
    sys.stdout.write(_json(who, card) if arguments.json else _text(who, card))
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
    lines = [f"{who.name} ({versions}), {who.execution}", ""]
    for line in card.lines:
        lines += [f"{line.name}: {line.found}", f"    {line.evidence}"]
    return "\n".join(lines) + "\n"


def _json(who: Implementation, card: Card) -> str:
    told: dict[str, Any] = {
        "implementation": who.id,
        "dialect": dict(card.dialect),
        "mistakes": list(card.mistakes),
        "running_variance": [
            {"rank": rank, "dtype": dtype, "estimator": option} for (rank, dtype), option in card.estimators.items()
        ],
        "lines": [{"name": one.name, "found": one.found, "evidence": one.evidence} for one in card.lines],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"
