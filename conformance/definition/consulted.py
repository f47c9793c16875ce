"""Predictions kept by the decisions that they consulted: whoever decides those alike shares them.

A case asks about few of the decisions that rules hold: one that never freezes a layer is answered alike whatever
freezing does. The oracle is a program without chance, so that which decision it consults next follows from the answers
so far. What it consulted is therefore a path in a tree, and other rules are led by their own answers along the same
path, to the prediction that they would give, or to where none was made yet.
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Any, cast

from conformance.definition.dialect import Dialect
from conformance.definition.prediction import Prediction
from conformance.definition.rules import Rules

__all__ = ["Consulted", "Kept", "changed"]


class Consulted:
    """Rules, or the dialect inside them, that note each decision with its answer when it is first looked at."""

    def __init__(self, decided: Rules | Dialect, noted: list[tuple[str, str]], inside: str = "") -> None:
        self._decided, self._noted, self._inside = decided, noted, inside

    def __getattr__(self, name: str) -> Any:
        """Look a decision up and keep it: this is called only for what is not kept yet."""
        answer: Any = getattr(self._decided, name)
        if name == "dialect":
            answer = Consulted(answer, self._noted, "dialect.")
        elif type(answer) is str:
            self._noted.append((self._inside + name, answer))
        else:
            raise AttributeError(f"{name} is no decision of rules")
        self.__dict__[name] = answer
        return answer

    @property
    def rules(self) -> Rules:
        """Return this in the place of rules."""
        return cast("Rules", self)


def changed(rules: Rules, **decisions: Any) -> Rules:
    """Return the rules with other decisions, which are nobody's to consult."""
    if not isinstance(rules, Consulted):
        return replace(rules, **decisions)
    other = Consulted(rules._decided, rules._noted)  # noqa: SLF001  (its own kind)
    other.__dict__.update(decisions)
    return other.rules


class _Place:
    """A place in the tree: the decision that is consulted there and where each answer leads, or a prediction."""

    __slots__ = ("decision", "leads", "look", "prediction")

    def __init__(self) -> None:
        self.decision, self.look = "", attrgetter("dialect")
        self.leads: dict[str, _Place] = {}
        self.prediction: Prediction | None = None


class Kept:
    """The predictions of one question."""

    def __init__(self) -> None:
        self._root = _Place()

    def find(self, rules: Rules) -> Prediction | None:
        """Return what is predicted by all rules that answer like these what was consulted, if that is known."""
        place: _Place | None = self._root
        while place is not None and place.prediction is None:
            place = place.leads.get(place.look(rules)) if place.leads else None
        return None if place is None else place.prediction

    def keep(self, noted: list[tuple[str, str]], prediction: Prediction) -> None:
        """Keep a prediction at the end of the path that was noted on the way to it."""
        place = self._root
        for decision, answer in noted:
            if not place.leads:
                place.decision, place.look = decision, attrgetter(decision)
            assert place.decision == decision, f"{decision} is consulted where {place.decision} was"
            place = place.leads.setdefault(answer, _Place())
        place.prediction = prediction
