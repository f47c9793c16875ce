"""What is made of a case is kept for whoever comes to the same case next, while there is room."""

from __future__ import annotations

import msgspec

from conformance.corpus.at_hand import AtHand
from conformance.corpus.case import Case, Step


def case(name: str, epsilon: float = 0.001) -> Case:
    return Case(id=f"file/{name}", fact="X is Y.", clauses=("1.1",), steps=(Step(train="a"),), epsilon=epsilon)


def counted(room: int) -> tuple[AtHand[str], list[str]]:
    """Return a function whose results count as ten bytes each, and the ids of the cases that it was called for."""
    made: list[str] = []

    def make(one: Case) -> str:
        made.append(one.id)
        return f"{one.id} {one.epsilon}"

    return AtHand(make, lambda _: 10, room), made


def test_made_once() -> None:
    """The same case, and one of the same content, are answered with what is there."""
    act, made = counted(room=100)
    assert act(case("one")) is act(case("one"))
    assert ["file/one"] == made


def test_same_id_with_other_content() -> None:
    """A case that is named like another is made anew, and takes its place."""
    act, _ = counted(room=100)
    assert ["file/one 0.001", "file/one 0.5", "file/one 0.001"] == [act(case("one", e)) for e in (0.001, 0.5, 0.001)]


def test_the_oldest_goes_first() -> None:
    """Where room is short, what came first is forgotten, and the rest is kept."""
    act, made = counted(room=30)
    for name in ("a", "b", "c", "d"):
        act(case(name))
    made.clear()
    for name in ("d", "c", "b", "a"):
        act(case(name))
    assert ["file/a"] == made


def test_what_is_too_large_is_not_kept() -> None:
    """What would take half of the room is made each time, and pushes nothing out."""
    act, made = counted(room=20)
    act(case("one")), act(case("one"))
    assert ["file/one", "file/one"] == made


def test_cleared() -> None:
    """Once cleared it knows nothing."""
    act, made = counted(room=100)
    one = case("one")
    act(one)
    act.clear()
    act(msgspec.structs.replace(one))
    assert ["file/one", "file/one"] == made
