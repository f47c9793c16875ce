"""The kill table of ``conformance check --mutants``: what the corpus makes of every variant as an implementation."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from conformance.corpus.case import Case
from conformance.definition.variants import VARIANTS
from conformance.trial.mutants import ENOUGH_MARGIN, Kill, kills, verdict

__all__ = ["ENOUGH_NAMED", "print_kills"]

#: The part of the variants that must be named as the explanation of what they do.
ENOUGH_NAMED = 0.9


def print_kills(cases: Sequence[Case], *, whole: bool) -> tuple[int, list[Kill]]:
    """Print a line for each variant as it is known, and the survivors.

    Returns:
        1 if there are survivors, or too few are named, else 0; and the table.
    """
    width = max(map(len, VARIANTS))
    sys.stdout.write(f"{'variant':{width}}  caught  named  margin    best case\n")
    table: list[Kill] = []
    for kill in kills(cases, whole=whole):
        table.append(kill)
        sys.stdout.write(_line(kill, width))
        sys.stdout.flush()
    survivors = [kill.variant for kill in table if kill.survives]
    named = sum(bool(kill.named) for kill in table)
    sys.stdout.write(
        f"{len(table)} variants: {len(table) - len(survivors)} caught by at least {ENOUGH_MARGIN:.0f} plain bounds, "
        f"{named} named as their own explanation ({named / len(table):.0%}), {len(survivors)} survive\n"
    )
    sys.stdout.writelines(f"survives: {name}\n" for name in survivors)
    return (1 if survivors or named < ENOUGH_NAMED * len(table) else 0), table


def _line(kill: Kill, width: int) -> str:
    said = verdict(kill)
    remark = "" if said == "named" else f"  {said}{': ' + ', '.join(kill.elsewhere) if kill.elsewhere else ''}"
    counts = f"{kill.caught:6}  {kill.named}/{kill.asked:<3}"
    return f"{kill.variant:{width}}  {counts}  {kill.margin:<8.2g}  {kill.best}{remark}\n"
