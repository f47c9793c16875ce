"""Makes one report of every environment that ``matrix.yaml`` names: installs, runs, merges.

An environment that cannot be installed or run is a row that says why; the others are complete. One that is
there already is taken as it is while its requirements stay the same, and so is what was asked in it: a part that was
ended goes on where it was, and a complete one is not run again while corpus, records and suite stay the same.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from conformance.adapters.registry import find
from conformance.corpus.faults import raise_from
from conformance.corpus.marks import fault, parse, plain
from conformance.engine.adapters import CANARY
from conformance.errors import ConformanceError, UsageError
from conformance.report.page import REPORT_NAME, write_report
from conformance.results.merge import merge
from conformance.results.read import RESULTS_NAME, Results, read_results
from conformance.results.rows import FAILING
from conformance.results.writer import write_results

ROOT = Path(__file__).resolve().parents[1]
#: What the suite's worker needs in an interpreter of its own.
WORKER = ("numpy", "msgspec", "ml-dtypes")
#: Of the table; what agrees has the rough cells in it, what fails no record speaks of.
_COLUMNS = ("environment", "columns", "cases", "cells", "agrees", "deviates", "open", "unsupported", "fails")
INSTALL_LIMIT, RUN_LIMIT = 1800.0, 6 * 3600.0

Words = tuple[Annotated[str, msgspec.Meta(min_length=1)], ...]


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One environment as it is written; without ``python`` and ``requirements`` it is this one.

    ``without_dependencies`` is installed last, by ``pip install --no-deps``; ``site_packages`` lets it see
    those of its interpreter. ``adapters`` are names or ``module:Class``; ``hosts`` a file of hosts by command, whose
    programs ``npm`` installs in that folder. ``cases`` are patterns, where it is not asked everything; ``modelled``
    adds the columns of what cannot be run here.
    """

    python: str = ""
    requirements: Words = ()
    without_dependencies: Words = ()
    site_packages: bool = False
    adapters: Words = ()
    hosts: str = ""
    npm: str = ""
    cases: Words = ()
    modelled: bool = False
    time_limit: float = 60.0

    def __post_init__(self) -> None:
        if bool(self.adapters) == bool(self.hosts):
            raise ValueError("found an environment that asks nobody, expected either `adapters` or `hosts`")

    @property
    def is_here(self) -> bool:
        """Return whether it is the environment that this program runs in."""
        return not (self.python or self.requirements or self.without_dependencies or self.hosts)


class PartError(Exception):
    """An environment could not be installed or run; its text is the row that says so."""


def load(file: Path) -> dict[str, Environment]:
    """Return the environments of a file by name.

    Raises:
        ConformanceError: says where, what was found and what was expected.
    """
    try:
        tree = parse(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise UsageError(f"{file}: found {error}, expected a readable file") from None
    if list(tree.mapping) != ["environments"]:
        fault(tree.mark, f"found the keys {', '.join(tree.mapping)}, expected environments alone")
    found = {}
    for name, node in tree.mapping["environments"].mapping.items():
        if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", name):
            fault(tree.mapping["environments"].keys[name], f"found the name `{name}`, expected lower-case words")
        try:
            found[name] = msgspec.convert(plain(node), Environment)
        except msgspec.ValidationError as error:
            raise_from(error, node, Environment)
    return found


def part(
    name: str, environment: Environment, folders: tuple[Path, Path], options: Sequence[str]
) -> tuple[Results, str]:
    """Install one environment in the first of ``folders``, run it and return what is in the second.

    Beside it goes why the run was ended before its time, an empty text if it was not.

    Raises:
        PartError: it cannot be installed, or its run left nothing.
    """
    home, output = folders
    output.mkdir(parents=True, exist_ok=True)
    who = list(_asked(name, environment, home, output))
    # Cases asked for on the command line take the place of those of the file.
    chosen = any(option.partition("=")[0] == "--case" for option in options)
    cases = [] if chosen else [f"--case={pattern}" for pattern in environment.cases]
    command = [
        sys.executable, "-m", "conformance", "run", *who, *cases, "--output", str(output), "--quiet",
        f"--time-limit={environment.time_limit:g}", *(["--modelled"] if environment.modelled else []), *options,
    ]  # fmt: skip
    kept = _length(output)
    ended = _called([*command, "--resume"], output / "run.log", RUN_LIMIT)
    if ended not in (0, 1, 3) and kept is not None and kept == _length(output):
        # Nothing was added: what is there is of another corpus or suite, and is asked for anew.
        (output / RESULTS_NAME).unlink()
        ended = _called(command, output / "run.log", RUN_LIMIT)
    # 1 is a finding about an implementation, 3 one about the suite: either way the cells are there.
    if ended in (0, 1, 3) and _length(output) is not None:
        return read_results(output), ""
    reason = _last_words(output / "run.log")
    if _length(output) is None:
        raise PartError(f"does not run: {reason}")
    return read_results(output), f"ended before its time: {reason}"


def _left(output: Path) -> Results:
    """Return what an earlier run has left of a part."""
    if _length(output) is None:
        raise PartError("has not been run")
    return read_results(output)


def _length(output: Path) -> int | None:
    """Return how many bytes of results a part has, ``None`` if it has no file."""
    file = output / RESULTS_NAME
    return file.stat().st_size if file.is_file() else None


def _asked(name: str, environment: Environment, home: Path, output: Path) -> Iterator[str]:
    """Yield the options that name who is asked; installs what they need first."""
    if environment.is_here:
        for adapter in environment.adapters:
            if find(adapter).is_installed:
                yield f"--adapter={adapter}"
        return
    if environment.npm:
        folder = ROOT / environment.npm
        npm = [shutil.which("npm") or "npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
        if not (folder / "node_modules").is_dir() and _called(npm, output / "install.log", INSTALL_LIMIT, folder) != 0:
            raise PartError(f"cannot be installed: {_last_words(output / 'install.log')}")
    if environment.hosts:
        yield f"--implementations={ROOT / environment.hosts}"
        return
    python = _installed(environment, home, output / "install.log")
    several, common = len(environment.adapters) > 1, {"python": str(python), "directory": str(ROOT)}
    entries = {
        f"{name}.{_slug(adapter)}" if several else name: {**common, "adapter": adapter}
        for adapter in environment.adapters
    }
    file = output / "hosts.yaml"
    file.write_text(yaml.safe_dump({"implementations": entries}), encoding="utf-8")
    yield f"--implementations={file}"


def _installed(environment: Environment, home: Path, log: Path) -> Path:
    """Return the Python of the environment, which is made unless it is there with the same requirements."""
    python, stamp = home / "bin" / "python", home / "installed"
    wanted = hashlib.sha256(msgspec.json.encode((WORKER, environment.python, environment.requirements,
                                                 environment.without_dependencies))).hexdigest()  # fmt: skip
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    base = shutil.which(environment.python or sys.executable)
    if base is None:
        raise PartError(f"cannot be installed: there is no {environment.python} here")
    site = ["--system-site-packages"] if environment.site_packages else []
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [[base, "-m", "venv", "--clear", *site, str(home)], [*pip, *WORKER, *environment.requirements]]
    if environment.without_dependencies:
        steps.append([*pip, "--no-deps", *environment.without_dependencies])
    for step in steps:
        if _called(step, log, INSTALL_LIMIT) != 0:
            raise PartError(f"cannot be installed: {_last_words(log)}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _called(command: Sequence[str], log: Path, limit: float, folder: Path | None = None) -> int:
    """Run a command, its output in a file, and return how it ended; 124 where it took too long."""
    with log.open("w", encoding="utf-8") as said:
        try:
            done = subprocess.run(  # noqa: S603  (the configuration of the repository names the commands)
                command, stdout=said, stderr=subprocess.STDOUT, cwd=folder or ROOT, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            said.write(f"ended after {limit:g} s\n")
            return 124
        except OSError as error:
            said.write(f"{error}\n")
            return 127
    return done.returncode


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error|conformance run):", line)]
    return (errors or lines or ["it said nothing"])[-1][:500]


def _slug(adapter: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", adapter.lower()).strip("-")


def main() -> int:
    """Make every part and the whole; return 1 if nothing could be run, and 2 for a bad configuration."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--configuration", type=Path, default=ROOT / "matrix.yaml")
    parser.add_argument("--environments", type=Path, default=ROOT / ".matrix", help="where environments are made")
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "matrix")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="an environment; repeatable")
    parser.add_argument("--merge", action="store_true", help="run nothing: make the report of the parts that are there")
    parser.add_argument("options", nargs="*", help="further options for each `conformance run`, after --")
    arguments = parser.parse_args()
    try:
        environments = load(arguments.configuration)
        for name in arguments.only:
            if name not in environments:
                raise UsageError(f"--only {name}: no environment is named so", hint=f"known: {', '.join(environments)}")
        return _make({name: environments[name] for name in arguments.only or environments}, arguments)
    except ConformanceError as error:
        sys.stderr.write(f"matrix: {error}\n")
        return error.exit_code


def _make(environments: dict[str, Environment], arguments: argparse.Namespace) -> int:
    parts, absent = {}, {}
    for name, environment in environments.items():
        print(f"{name} ...", flush=True)
        folders = (arguments.environments.absolute() / name, arguments.output.absolute() / "parts" / name)
        try:
            if arguments.merge:
                parts[name], ended = _left(folders[1]), ""
            else:
                parts[name], ended = part(name, environment, folders, arguments.options)
        except (PartError, ConformanceError) as error:
            ended = str(error)
        if ended:
            absent[name] = ended
            print(f"{name}: {ended}", flush=True)
    if not parts:
        print("nothing could be run", file=sys.stderr)
        return 1
    whole = merge(list(parts.values()), list(parts), apart=True)
    lacking = {**whole.run.not_installed, **_not_here(environments), **absent}
    whole = msgspec.structs.replace(whole, run=msgspec.structs.replace(whole.run, not_installed=lacking))
    write_results(whole, arguments.output)
    write_report(whole, arguments.output / REPORT_NAME)
    print("\n".join(table(parts)))
    executed = sum(row.provenance == "executed" and row.name != CANARY for row in whole.run.implementations)
    print(f"{executed} executed columns of {len(parts)} environments, {len(lacking)} not run")
    print(arguments.output / REPORT_NAME)
    return 0


def table(parts: dict[str, Results]) -> list[str]:
    """Return what came of each environment, the canary apart, as the lines of a table in Markdown."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{' --- |' * len(_COLUMNS)}"]
    for name, part in parts.items():
        cells = [cell for cell in part.cells if cell.implementation.partition("@")[0] != CANARY]
        count = Counter(cell.verdict for cell in cells)
        numbers = [
            len(cells), count["agrees"] + count["rough"], count["deviates"], count["open"], count["unsupported"],
            sum(count[verdict] for verdict in FAILING),
        ]  # fmt: skip
        columns = len({cell.implementation for cell in cells})
        lines.append(f"| `{name}` | {columns} | {len(part.run.cases)} | {' | '.join(f'{n:,}' for n in numbers)} |")
    return lines


def _not_here(environments: dict[str, Environment]) -> dict[str, str]:
    """Return the adapters for this environment that it lacks, each with the command that installs it."""
    specs = [find(name) for one in environments.values() if one.is_here for name in one.adapters]
    return {spec.name: spec.install for spec in specs if not spec.is_installed}


if __name__ == "__main__":
    sys.exit(main())
