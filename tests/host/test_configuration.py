"""Hosts by command are read from YAML and from pyproject.toml; each fault is one message that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.errors import UsageError
from conformance.host.configuration import ConfiguredHost, load_hosts, project_hosts

BOOTSTRAP = Path(__file__).parents[2] / "conformance" / "host" / "bootstrap.py"


def read(folder: Path, text: str) -> dict[str, ConfiguredHost]:
    file = folder / "hosts.yaml"
    file.write_text(text, encoding="utf-8")
    return load_hosts(file)


def test_a_command(tmp_path: Path) -> None:
    """A command is started as it is written, in the folder of the file."""
    (host,) = read(tmp_path, "implementations:\n  mine:\n    command: [node, ./host.mjs, --fast]\n").values()
    assert ("node", "./host.mjs", "--fast") == host.command
    assert ("mine", tmp_path, f"{tmp_path}/hosts.yaml:2") == (host.name, host.directory, host.place)


def test_an_interpreter(tmp_path: Path) -> None:
    """The Python of another environment runs an adapter by way of the bootstrap; its link is not resolved."""
    (tmp_path / "python").symlink_to("/usr/bin/env")
    (host,) = read(tmp_path, "implementations: {old: {python: ./python, adapter: torch}}").values()
    assert (f"{tmp_path}/python", str(BOOTSTRAP), "torch") == host.command


def test_everything_else(tmp_path: Path) -> None:
    """Title, environment, folder and time to start are taken over; numbers in the environment become text."""
    text = """\
implementations:
  mine:
    command: [mine]
    title: Mine, of last year
    environment: {THREADS: 2, WORD: yes}
    directory: below
    start_limit: 5
"""
    host = read(tmp_path, text)["mine"]
    assert ("Mine, of last year", {"THREADS": "2", "WORD": "yes"}) == (host.title, host.environment)
    assert (tmp_path / "below", 5.0) == (host.directory, host.start_limit)


FAULTS = [
    ("nothing startable", "mine: {title: x}", "2:9: found an entry that is not startable, expected either `command`"),
    ("both", "mine: {command: [a], python: b}", "2:9: found an entry that is not startable, expected either `command`"),
    ("no adapter", "mine: {python: b}", "2:9: found one of `python` and `adapter`, expected both"),
    ("unknown key", "mine: {comand: [a]}", "2:10: found the unknown key `comand`, expected one of command, python"),
    ("no list", "mine: {command: node host.mjs}", "2:19: found 'node host.mjs', expected a list"),
    ("no time", "mine: {command: [a], start_limit: soon}", "2:37: found 'soon', expected a number"),
    ("a name with a sign", "my@host: {command: [a]}", "2:3: found the name `my@host`, expected lower-case words"),
    ("a name that is taken", "torch: {command: [a]}", "2:3: found the name `torch`, which an adapter has already"),
    ("nobody's directory", "mine: {command: [a], directory: ~no-one}", "2:3: found the path `~no-one`, and no"),
    ("nobody's program", "mine: {command: [~no-one/a]}", "2:3: found the path `~no-one/a`, and no home of"),
    ("twice", "a: {command: [a]}\n  a: {command: [b]}", "3:3: found the key `a` again"),
]


@pytest.mark.parametrize(("entry", "message"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_faults(tmp_path: Path, entry: str, message: str) -> None:
    """A fault is told with file, line, column, what was found and what was expected, and where to read more."""
    with pytest.raises(UsageError) as refusal:
        read(tmp_path, f"implementations:\n  {entry}\n")
    assert f"{tmp_path}/hosts.yaml:{message}" in str(refusal.value)
    assert "docs/hosts.md" in str(refusal.value)


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is told as such."""
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read: No such file"):
        load_hosts(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "found a list, expected a mapping"), ("hosts: {}", "the unknown key `hosts`")]
)
def test_another_file(tmp_path: Path, text: str, message: str) -> None:
    """A YAML file about something else is refused."""
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def project(folder: Path, text: str) -> dict[str, ConfiguredHost]:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return project_hosts(folder)


def test_pyproject(tmp_path: Path) -> None:
    """A table of pyproject.toml says the same as an entry of a file; its place is the line of its header."""
    table = '[tool.conformance.implementations."old:jit"]\npython = "./py"\nadapter = "stax:jit"\n'
    text = f'[project]\nname = "x"\n\n{table}'
    (host,) = project(tmp_path, text).values()
    assert (f"{tmp_path}/py", str(BOOTSTRAP), "stax:jit") == host.command
    assert ("old:jit", f"{tmp_path}/pyproject.toml:4") == (host.name, host.place)


def test_a_fault_in_pyproject(tmp_path: Path) -> None:
    """A fault is told with the line of the table."""
    with pytest.raises(UsageError, match=r"pyproject.toml:3:1: found the unknown key `pyton`"):
        project(tmp_path, '[tool.x]\n\n[tool.conformance.implementations.old]\npyton = "py"\n')


def test_no_toml(tmp_path: Path) -> None:
    """What is no TOML is told as such."""
    with pytest.raises(UsageError, match=r"pyproject.toml: found .*, expected TOML"):
        project(tmp_path, "[tool")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tool = 3", "found a plain value where the table of `conformance` belongs"),
        ("[tool]\nconformance = [1]", "found a plain value where the table of `implementations` belongs"),
        ("[tool.conformance]\nimplementations = 'a'", "found 'a', expected a mapping"),
        (f"a = {'[' * 2000}{']' * 2000}", "nested hundreds deep"),
    ],
    ids=["no table of tools", "no table of ours", "no table of hosts", "deep"],
)
def test_another_pyproject(tmp_path: Path, text: str, message: str) -> None:
    """A value where a table belongs, and nesting that no person writes, are told as such."""
    with pytest.raises(UsageError, match=message):
        project(tmp_path, text)


@pytest.mark.parametrize("text", ["", "[tool.conformance]\n", None], ids=["empty", "no table", "no file"])
def test_no_hosts(tmp_path: Path, text: str | None) -> None:
    """Where nothing is configured there are none."""
    assert {} == (project_hosts(tmp_path) if text is None else project(tmp_path, text))
