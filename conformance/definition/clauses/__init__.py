"""The clauses of the definition: number, sentence, formula and source of each, in the order of their numbers."""

from __future__ import annotations

from conformance.definition.clauses import derivatives, forward, inputs, layer, state, together
from conformance.definition.clauses.clause import AREAS, Clause

__all__ = ["AREAS", "CLAUSES", "Clause"]

_ROOMS = (forward, state, derivatives, layer, inputs, together)

CLAUSES: dict[str, Clause] = {
    clause.number: clause
    for clause in sorted((clause for room in _ROOMS for clause in room.CLAUSES), key=lambda clause: clause.place)
}
