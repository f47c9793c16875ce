"""``conformance run --implementations``: several hosts side by side, of which some do not do well."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.cli.main import main
from conformance.results.read import Results, read_results

TESTS = Path(__file__).parents[1]
PYTHON = f"python: {sys.executable}"
EVERYWHERE = 4


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    results: Results

    def verdicts(self, column: str) -> list[str]:
        return [cell.verdict for cell in self.results.cells if cell.implementation.startswith(f"{column}@")]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Return the command on the small corpus with a file of these hosts."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS / "fakes"), str(TESTS / "host")]))

    def command(*entries: str, options: tuple[str, ...] = ()) -> Ended:
        file = tmp_path / "hosts.yaml"
        file.write_text("implementations:\n" + "".join(f"  {entry}\n" for entry in entries), encoding="utf-8")
        code = main(
            ["run", f"--implementations={file}", f"--cases={TESTS / 'fakes' / 'corpus'}", "--quiet",
             f"--output={tmp_path / 'out'}", *options]
        )  # fmt: skip
        return Ended(code, *capsys.readouterr(), read_results(tmp_path / "out"))

    return command


def test_versions_stand_side_by_side(run: Callable[..., Ended]) -> None:
    """Two versions of one implementation, each in an environment of its own, are two columns of one name."""
    ended = run(
        *(f"v{version}: {{{PYTHON}, adapter: 'versioned:Adapter', environment: {{FAKE_VERSION: {version}}}}}"
          for version in ("1.5", "2.5"))
    )  # fmt: skip
    assert 0 == ended.code
    assert {"numpy", "versioned"} == {row.name for row in ended.results.run.implementations}
    ids = [row.id for row in ended.results.run.implementations if row.name == "versioned"]
    assert ["versioned@1.5:eager:cpu", "versioned@2.5:eager:cpu"] == sorted(ids)
    assert ["agrees"] * EVERYWHERE == ended.verdicts("versioned")[:EVERYWHERE]


def test_the_title_is_kept(run: Callable[..., Ended]) -> None:
    """What the configuration calls a host stands in the row of its column."""
    ended = run(f"sound: {{{PYTHON}, adapter: 'third_party:Sound', title: As it was}}")
    assert {"numpy": "", "Sound": "As it was"} == {row.name: row.title for row in ended.results.run.implementations}


def test_one_that_does_not_start_is_a_row(run: Callable[..., Ended]) -> None:
    """A host that cannot start is named with the reason; the run is complete and fine."""
    ended = run("gone: {command: [./no-such-program]}", f"sound: {{{PYTHON}, adapter: 'third_party:Sound'}}")
    assert 0 == ended.code
    assert ended.results.complete
    assert ["agrees"] * EVERYWHERE == ended.verdicts("Sound")
    assert ["gone"] == list(ended.results.run.not_installed)
    assert "hosts.yaml:2: host gone: the host does not start" in ended.results.run.not_installed["gone"]
    assert "Not run:\n  gone: " in ended.out
    assert "host gone" in ended.err


def test_one_that_was_named_and_does_not_start(run: Callable[..., Ended]) -> None:
    """Asked for by name, it makes the run exit 2; the others are there."""
    hosts = ["gone: {command: [./no-such-program]}", f"sound: {{{PYTHON}, adapter: 'third_party:Sound'}}"]
    ended = run(*hosts, options=("--adapter=gone", "--adapter=sound"))
    assert (2, True) == (ended.code, ended.results.complete)
    assert ["agrees"] * EVERYWHERE == ended.verdicts("Sound")


def test_hanging_and_dying_ones_disturb_nobody(run: Callable[..., Ended]) -> None:
    """A host that hangs and one that dies have crashed where they did; the others are complete."""
    ended = run(
        f"hangs: {{{PYTHON}, adapter: 'third_party:NeverReturns'}}", f"dies: {{{PYTHON}, adapter: 'third_party:Dies'}}",
        f"sound: {{{PYTHON}, adapter: 'third_party:Sound'}}", options=("--time-limit=2",),
    )  # fmt: skip
    assert 1 == ended.code
    assert ended.results.complete
    assert {"agrees": 2, "crashed": 2} == _counted(ended.verdicts("NeverReturns"))
    assert {"agrees": 2, "crashed": 2} == _counted(ended.verdicts("Dies"))
    assert {"agrees": EVERYWHERE} == _counted(ended.verdicts("Sound"))


def test_two_of_one_column(run: Callable[..., Ended]) -> None:
    """Two hosts that say they are the same installation cannot fill one column: the later one is a row."""
    ended = run(*(f"{name}: {{{PYTHON}, adapter: 'third_party:Sound'}}" for name in ("one", "two")))
    assert 0 == ended.code
    assert EVERYWHERE == len(ended.verdicts("Sound"))
    (reason,) = ended.results.run.not_installed.values()
    assert "says that it is Sound@1.0:eager:cpu, and so does" in reason


def test_some_of_a_file(run: Callable[..., Ended]) -> None:
    """--adapter names some of a file, and adapters that come with the suite beside them."""
    hosts = [f"{name}: {{{PYTHON}, adapter: 'third_party:{name.title()}'}}" for name in ("sound", "population")]
    ended = run(*hosts, options=("--adapter=population", "--adapter=third_party:Stale"))
    assert {"numpy", "Population", "Stale"} == {row.name for row in ended.results.run.implementations}


def test_a_near_name_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none is told with those of the file that are near."""
    (tmp_path / "hosts.yaml").write_text("implementations: {torch-1.13: {command: [x]}}", encoding="utf-8")
    assert 2 == main(["run", f"--implementations={tmp_path / 'hosts.yaml'}", "--adapter=torch-1.12"])
    assert "did you mean torch-1.13" in capsys.readouterr().err


def test_they_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list --implementations FILE` has a line for each host with its command."""
    (tmp_path / "hosts.yaml").write_text("implementations: {tfjs: {command: [node, host.mjs]}}", encoding="utf-8")
    assert 0 == main(["list", "--implementations", str(tmp_path / "hosts.yaml")])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("tfjs"))
    assert ["tfjs", "-", "-", "-", "executed", "host;", "node", "host.mjs"] == line.split()


def test_pyproject_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file the table of the current folder's pyproject.toml counts."""
    table = '[tool.conformance.implementations.tfjs]\ncommand = ["node", "host.mjs"]\n'
    (tmp_path / "pyproject.toml").write_text(table, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert 0 == main(["list", "--implementations"])
    assert any(line.startswith("tfjs ") for line in capsys.readouterr().out.splitlines())


def _counted(verdicts: list[str]) -> dict[str, int]:
    return {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}


