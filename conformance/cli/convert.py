"""``conformance convert``: the recipe to carry a layer from one implementation to another, proved where both run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing

from conformance.adapters import registry
from conformance.adapters.naming import NAMINGS, WITHOUT_STATE, Naming, naming_of
from conformance.cli.asking import answered, started
from conformance.convert.prove import case_of, prove
from conformance.convert.recipe import Recipe, recipe
from conformance.definition.dialect import Dialect
from conformance.errors import AdapterError, UsageError
from conformance.host.observation import Observation
from conformance.modelled.systems import MODELS
from conformance.verdict.oracle import Question

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY = "Say how to carry a layer and its state from one implementation to another, and prove it."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("source", metavar="FROM", help="an adapter's name, such as torch")
    add("target", metavar="TO", help="another one's")
    add("--momentum", type=float, metavar="M", help="as FROM takes it (default: FROM's own)")
    add("--epsilon", type=float, metavar="E", help="of the layer (default: FROM's own)")
    add("--channels", type=int, metavar="C", help="of the layer")
    add("--values", type=int, default=32, metavar="N", help="values per channel, for effects (default: 32)")
    add("--prove", action="store_true", help="fail where the two cannot both be run (default: prove if they can)")


def execute(arguments: argparse.Namespace) -> int:
    """Print recipe and proof; return 1 if a side does not answer as its dialect predicts.

    Raises:
        UsageError: the names of an implementation are not written down, or an argument does not fit.
        AdapterError: --prove is given and one of the two is not installed.
    """
    pair = tuple((name, _naming(name)) for name in (arguments.source, arguments.target))
    if arguments.channels is not None and arguments.channels < 1:
        raise UsageError(f"--channels is {arguments.channels}, expected at least 1")
    modelled = tuple(name for name, _ in pair if name in MODELS)
    if modelled and arguments.prove:
        raise AdapterError(f"{modelled[0]} is modelled, and cannot be run here", hint="leave --prove out")
    absent = {name: command for name, command in registry.missing().items() if name in dict(pair)}
    if absent and arguments.prove:
        name, command = next(iter(absent.items()))
        raise AdapterError(f"adapter {name}: what it needs is not installed", hint=command)
    plain = _recipe(arguments, pair)
    if absent:
        lacking = ", ".join(absent)
        sys.stdout.write(_text(plain) + f"\nnot proved, nor are dialects compared: {lacking} is not installed\n")
        return 0
    question, sides = _asked([name for name, _ in pair], plain)
    written = _recipe(arguments, pair, [side.dialect for side in sides])
    lines, fine = _proof(question, sides, modelled)
    sys.stdout.write(_text(written, compared=True) + "\n" + lines)
    return 0 if fine else 1


def _naming(name: str) -> Naming:
    naming = naming_of(name)
    if (why := WITHOUT_STATE.get(name.partition(":")[0])) is not None:
        raise UsageError(why, hint="its parameters are beta and gamma, shape (channels,), as they are")
    if naming is None:
        known = f"known are {', '.join(NAMINGS)}"
        registry.find(name, hint=known)
        raise UsageError(f"what {name} calls its arguments, parameters and state is not written down", hint=known)
    return naming


def _recipe(
    arguments: argparse.Namespace, pair: tuple[tuple[str, Naming], ...], dialects: Sequence[Dialect] | None = None
) -> Recipe:
    return recipe(
        pair[0], pair[1], momentum=arguments.momentum, epsilon=arguments.epsilon, channels=arguments.channels,
        n=arguments.values, dialects=None if dialects is None else (dialects[0], dialects[1]),
    )  # fmt: skip


def _asked(names: Sequence[str], plain: Recipe) -> tuple[Question, list[Observation]]:
    """Put the case to both; one with spatial dimensions of length 1 where a side takes no other.

    Raises:
        UsageError: a side can be asked neither.
    """
    why: dict[str, str] = {}
    for spatial in ("", "x1x1"):
        question = Question(case_of(plain, spatial))
        sides = [_answered(name, question) for name in names]
        why = {name: side.unsupported for name, side in zip(names, sides, strict=True) if side.unsupported is not None}
        if not why:
            return question, sides
    raise UsageError(" and ".join(f"{name} cannot be trained and evaluated here: {said}" for name, said in why.items()))


def _answered(name: str, question: Question) -> Observation:
    if name in MODELS:
        return MODELS[name].observe(question.case)
    with closing(started(name)) as session:
        return answered(question.case, session)


def _text(made: Recipe, *, compared: bool = False) -> str:
    lines = [f"{made.source} to {made.target}", "", *(f"  {line}" for line in made.lines)]
    if made.lost:
        lines += ["", "What the target does otherwise:", *(f"  - {line}" for line in made.lost)]
    elif compared:
        lines += ["", "Of what both declare nothing differs."]
    return "\n".join(lines) + "\n"


def _proof(question: Question, sides: list[Observation], modelled: Sequence[str]) -> tuple[str, bool]:
    how = "Proved by running both"
    if modelled:
        absent = " and ".join(modelled)
        how = f"Not proved: {absent} cannot be run here. Compared with what its documentation and source predict,"
    lines = [
        f"{how} on inputs of shape {question.case.shape}, from the state carried over:",
        f"  {'':<26} {'':<13} {'apart by':<10} {'predicted':<10} {'rounding':<9}",
    ]
    fine = True
    for one in prove(question, *sides):
        verdict = "as predicted" if one.fits else "NOT as predicted"
        fine = fine and one.fits
        lines.append(
            f"  {one.said:<26} {one.name:<13} {one.apart:<10.3g} {one.predicted:<10.3g} {one.allowed:<9.2g} {verdict}"
        )
    return "\n".join(lines) + "\n", fine
