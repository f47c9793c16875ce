"""Old Keras, each version in its environment of `make matrix`: what freezing and the first update are in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.engine.cell import cell_of
from conformance.host.configuration import load_hosts
from conformance.host.session import HostSession

ROOT = Path(__file__).parents[2]
VERSIONS = ("2.1.2", "2.1.3", "2.1.4", "2.2.4", "2.3.1")
#: Version to what it does with a frozen layer, and with the initial state.
HISTORY = {
    "2.1.2": ("A", "blend"), "2.1.3": ("B", "debias"), "2.1.4": ("B", "debias"), "2.2.4": ("B", "debias"),
    "2.3.1": ("B", "blend"),
}  # fmt: skip


@pytest.fixture(scope="module", params=VERSIONS)
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostSession]:
    python = ROOT / ".matrix" / f"keras-{request.param}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f'make matrix MATRIX_ARGS="--only keras-{request.param}" makes its environment')
    file = tmp_path_factory.mktemp("hosts") / "hosts.yaml"
    file.write_text(
        f"implementations: {{old: {{python: {python}, adapter: 'conformance.adapters.keras_2:Adapter'}}}}", "utf-8"
    )
    with HostSession("old", host=load_hosts(file)["old"]) as opened:
        yield opened


def case(**changes: Any) -> Case:
    plain = {"id": "made/up", "fact": "It is made up.", "clauses": ["1.1"], "shape": "5x3", "steps": [{"train": "a"}]}
    return msgspec.convert({**plain, **changes}, Case)


# what is asked; each discriminates the options of a choice
ASKED = {
    "frozen": {"clauses": ["10.1"], "steps": [{"freeze": True}, {"train": "a", "gradients": ["x"]}, {"evaluate": "a"}]},
    "first update": {"clauses": ["3.5"]},
    "both modes": {"steps": [{"train": "a"}, {"evaluate": "a", "gradients": ["x", "gamma"]}]},
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_what_it_declares_is_what_it_does(session: HostSession, asked: dict[str, Any]) -> None:
    """Each version is observed exactly as its dialect declares."""
    assert cell_of(case(**asked), session).row.verdict in ("agrees", "deviates")


def test_the_history(session: HostSession) -> None:
    """A frozen layer moved from A to B after 2.1.2; 2.1.3 to 2.2.4 debias what others blend."""
    dialect = cell_of(case(), session).implementation.dialect
    (version, *_) = session.implementation.versions.values()
    assert HISTORY[version] == (dialect["frozen"], dialect["first_update"])
