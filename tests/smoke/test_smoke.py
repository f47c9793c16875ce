"""Checks of an adapter: the sound one passes all, and each defect fails the check that is meant for it."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from conformance.adapters import registry
from conformance.cli.main import main
from conformance.smoke.checks import CHECKS, make

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
#: Defect to the check that is the first to fail, and words of what is said.
DEFECTS = {
    "NoVersion": ("describe", "tells the versions {}"),
    "NoDialect": ("dialect", "dialect_for gave {'running_variance': 'population'}"),
    "NoReason": ("unsupported", "unsupported() gave False"),
    "ChannelsLeftLast": ("shapes", "np.moveaxis(y, -1, 1)"),
    "NoArray": ("shapes", "is of the type builtins.list"),
    "Narrows": ("dtypes", "is float32"),
    "Rounds": ("state", "after create(layer, state)"),
    "SetsNothing": ("state", "after set_state(state)"),
    "SwapsMomentum": ("momentum", "give it 1 - momentum"),
    "ForgetsMomentum": ("momentum", "has taken a default of its own"),
    "ReadsACopy": ("momentum", "not from a copy"),
    "ForgetsEpsilon": ("epsilon", "hand layer.epsilon"),
    "AlwaysTrains": ("mode", "evaluate normalises with the statistics of its batch"),
    "NeverTrains": ("mode", "train normalises with the running statistics"),
    "SwapsParameters": ("parameters", "1 and 3: there gamma is 0"),
    "TurnsDy": ("channels", "a change of dy in channel 0 changed the gradient of x"),
    "IgnoresDy": ("gradients", "not from ones"),
    "Accumulates": ("gradients", "a backward can be repeated"),
    "GivesTheInputAlone": ("gradients", "gave ['x']"),
    "GivesViews": ("copies", "when the layer was called again"),
    "SharesItsState": ("layers", "after a third was trained"),
    "HidesErrors": ("errors", "catch nothing in forward"),
    "FreezesForEver": ("abilities", "the layer has freeze alone"),
    "RaisesInForward": ("shapes", "it raised TypeError: forward() takes 1"),
}
#: Adapters that come with the suite and are cheap to start.
BUILT_IN = ["numpy", "torch", "torch-functional"]


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and its hosts find the adapters with a defect, and the sound one."""
    folders = [str(HERE), str(ROOT / "docs" / "examples")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*folders, str(ROOT)]))
    for folder in folders:
        monkeypatch.syspath_prepend(folder)


@pytest.fixture
def broken() -> Iterator[ModuleType]:
    yield importlib.import_module("broken")
    sys.modules.pop("broken")


@pytest.mark.parametrize("name", ["Sound", "Debiases"])
def test_a_sound_adapter(broken: ModuleType, name: str) -> None:
    """An adapter without a defect passes every check, whatever its dialect."""
    failed = {check: ended for check in CHECKS if (ended := make(getattr(broken, name)(), check)).did}
    assert {} == failed


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect(broken: ModuleType, name: str) -> None:
    """A defect fails the check that is meant for it before any other, which says what to do."""
    expected, words = DEFECTS[name]
    ended = {check: make(getattr(broken, name)(), check) for check in CHECKS}
    failed = [check for check, one in ended.items() if one.did]
    assert [expected] == failed[:1]
    first = ended[expected]
    assert words in f"{first.did} {first.expected} {first.remedy}"
    assert first.expected
    assert first.remedy


def test_every_check_has_a_defect() -> None:
    """No check is without an adapter that fails it first."""
    assert CHECKS.keys() == {check for check, _ in DEFECTS.values()}


def test_the_page_lists_the_checks() -> None:
    """docs/adapters.md has a row for each check, with its fact."""
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8").partition("<!-- checks -->\n")[2]
    rows = page.partition("\n\n")[0].splitlines()[2:]
    assert [f"| `{check.name}` | {check.fact} |" for check in CHECKS.values()] == rows


def test_what_it_lacks_is_not_asked(broken: ModuleType) -> None:
    """A check that needs what the adapter declares it lacks is not made, and says why."""
    adapter = broken.Sound()
    adapter.unsupported = lambda case: "no gradients here" if any(step.gradients for step in case.steps) else None
    assert "no gradients here" == make(adapter, "gradients").why
    assert not make(adapter, "momentum").did


@pytest.mark.parametrize("options", [(), ("--in-process",)], ids=["process", "in-process"])
def test_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """The command prints a line for each check, three more for one that failed, and ends with 0 or 3."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert 0 == main(["smoke", "my_adapter:Adapter", *options])
    lines = capsys.readouterr().out.splitlines()
    assert "mine@1.0:eager:cpu" == lines[0]
    assert list(CHECKS) == [line.split()[1] for line in lines[2:-2]]
    assert {"ok"} == {line.split()[0] for line in lines[2:-2]}
    assert 3 == main(["smoke", "broken:SwapsMomentum", *options])
    shown = capsys.readouterr().out
    told = r"^failed +momentum .*\n +did .*\n +expected .*\n +to do .*give it 1 - momentum"
    assert re.search(told, shown, re.MULTILINE)
    assert "15 ok, 1 failed. Mend these first" in shown


def test_who_ends_its_process(capsys: pytest.CaptureFixture[str]) -> None:
    """A check that ends the process costs itself: the others are made, and the exit code is 1."""
    assert 1 == main(["smoke", "broken:EndsItsProcess"])
    shown = capsys.readouterr().out
    assert re.search(r"^ended +state .*\n +did +the implementation took its host down", shown, re.MULTILINE)
    assert re.search(r"^ok +epsilon", shown, re.MULTILINE)


def test_who_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    """An adapter that cannot say who it is fails before any check, with the exit code 3."""
    assert 3 == main(["smoke", "broken:RaisesInDescribe"])
    assert "describe failed: RuntimeError: who am I?" in capsys.readouterr().out


def test_who_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that nobody has is bad input."""
    assert 2 == main(["smoke", "torhc"])
    assert "did you mean torch" in capsys.readouterr().err


def test_a_host_that_is_no_adapter(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A host in another language knows no checks: that is said, with what to do instead."""
    (tmp_path / "host.py").write_text(
        "import sys\nfrom conformance.host import service, worker\nfrom conformance.host.frames import Frame\n"
        "describe = b'{\"implementation\": {\"name\": \"foreign\", \"versions\": {\"foreign\": \"1\"}}}'\n"
        "class Foreign:\n"
        "    def answer(self, frame):\n"
        "        if b'describe' in frame.message:\n            return Frame(describe)\n"
        "        return service.failed('protocol', ValueError('unknown op'))\n"
        "worker.serve(Foreign(), *worker._private_pipes())\n", "utf-8",
    )  # fmt: skip
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text(f"implementations: {{foreign: {{command: [{sys.executable}, host.py]}}}}", "utf-8")
    assert 2 == main(["smoke", "foreign", f"--implementations={hosts}"])
    told = capsys.readouterr().err
    assert "no adapter in Python" in told
    assert "conformance run --adapter foreign" in told


@pytest.mark.parametrize("name", BUILT_IN)
def test_adapters_of_the_suite(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What comes with the suite passes its checks."""
    if name in (missing := registry.missing()):
        pytest.skip(f"{name} is not installed: {missing[name]}")
    assert 0 == main(["smoke", name]), capsys.readouterr().out
