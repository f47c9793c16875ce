"""Another interpreter serves an adapter with this copy of the suite, or says what it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conformance.errors import UnstartedError
from conformance.host.configuration import ConfiguredHost
from conformance.host.session import HostSession

BOOTSTRAP = Path(__file__).parents[2] / "conformance" / "host" / "bootstrap.py"


def configured(folder: Path, *command: str, title: str = "") -> ConfiguredHost:
    return ConfiguredHost(name="other", command=command, place="hosts.yaml:3", title=title, directory=folder)


def test_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package on its path, an interpreter serves with the copy that the bootstrap lies in."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    host = configured(tmp_path, sys.executable, "-S", "-c", _RUN, str(BOOTSTRAP), title="Another one")
    with HostSession("other", host=host) as session:
        assert ("numpy", "Another one") == (session.implementation.name, session.implementation.title)


#: Runs the bootstrap as a script, with no more on its path than the libraries that the worker needs.
_RUN = f"""
import runpy, sys
sys.path += {[entry for entry in sys.path if entry.endswith("-packages")]!r}
bootstrap = sys.argv[1]
sys.argv = [bootstrap, "numpy"]
runpy.run_path(bootstrap, run_name="__main__")
"""


def test_what_it_lacks(tmp_path: Path) -> None:
    """An interpreter without the libraries of the worker ends with the command that installs them."""
    ended = subprocess.run(
        [sys.executable, "-S", "-E", str(BOOTSTRAP), "numpy"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert 1 == ended.returncode
    assert f"{sys.executable} lacks numpy msgspec ml-dtypes: {sys.executable} -m pip install" in ended.stderr


def test_its_own_modules_stay_its_own(tmp_path: Path) -> None:
    """The folder of the bootstrap, whose modules have common names, is not looked in."""
    script = "import sys, runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0]); import frames"
    ended = subprocess.run(
        [sys.executable, "-c", script, str(BOOTSTRAP)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "No module named 'frames'" in ended.stderr


# what is started, part of the message
REFUSALS = [
    (("no-such-program",), "the host does not start: the host cannot be started"),
    ((sys.executable, "-c", "raise SystemExit('no key')"), "ended with exit status 1; its last words:\n    no key"),
    ((sys.executable, str(BOOTSTRAP), "tensorflaw:Adapter"), "import failed: ModuleNotFoundError"),
]


@pytest.mark.parametrize(("command", "message"), REFUSALS, ids=["no program", "ends at once", "no adapter"])
def test_one_that_does_not_start(tmp_path: Path, command: tuple[str, ...], message: str) -> None:
    """What does not start is told with its name, where it is configured, and how it is started."""
    with HostSession("other", host=configured(tmp_path, *command)) as session, pytest.raises(UnstartedError) as refusal:
        session.implementation  # noqa: B018
    assert "other" == refusal.value.adapter
    assert "hosts.yaml:3: host other: " in str(refusal.value)
    assert message in str(refusal.value)
    assert f"it is started in {tmp_path} by: {command[0]}" in str(refusal.value)
