"""Case files as pytest items, one per cell; results and report written by the controlling process."""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.corpus.load import load_file
from conformance.corpus.select import in_set, select
from conformance.engine.cell import Cell
from conformance.errors import ConformanceError, UnstartedError
from conformance.pytest_recording import ABSENT_ATTRIBUTE, CELL_ATTRIBUTE, Asked, Recording
from conformance.results.rows import FAILING

__all__ = ["CaseFile", "CellItem"]

_ASKED = pytest.StashKey[Asked]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of ``conformance run`` that make sense here."""
    group = parser.getgroup("conformance", "batch norm conformance")
    add = group.addoption
    add("--adapter", action="append", default=[], metavar="NAME", help="adapter or module:Class; repeatable")
    add("--all", action="store_true", help="all adapters that are installed, every execution")
    add("--implementations", type=Path, metavar="FILE", help="hosts by command (default: those of pyproject.toml)")
    add("--case", action="append", default=[], metavar="PATTERN", help="cases to run; repeatable")
    add("--tag", action="append", default=[], metavar="TAG", help="cases with this tag too, e.g. large; repeatable")
    add("--output", type=Path, metavar="FOLDER", help="where results and report go (default: reports/latest)")
    add("--deviations", action="append", type=Path, default=[], metavar="FILE", help="further recorded deviations")
    add("--time-limit", type=float, default=60.0, metavar="SECONDS", help="for one case (default: 60)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where implementations compute")
    add("--in-process", action="store_true", help="run adapters without a host process, for debuggers")


def pytest_configure(config: pytest.Config) -> None:
    """Read the options; in the controlling process, get ready to record cells."""
    asked = config.stash[_ASKED] = Asked(config)
    try:
        asked.check()
    except ConformanceError as error:
        raise pytest.UsageError(str(error)) from None
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recording(config, config.stash[_ASKED]), "conformance-recording")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the hosts."""
    if _ASKED in config.stash:
        config.stash[_ASKED].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report of a setup carry the cell to the controlling process."""
    report = yield
    if isinstance(item, CellItem) and item.cell is not None and call.when == "setup":
        # A string, since an attribute of a report travels between processes only if it is plain data.
        setattr(report, CELL_ATTRIBUTE, msgspec.json.encode(item.cell).decode())
    if isinstance(item, CellItem) and item.absent and call.when == "setup":
        setattr(report, ABSENT_ATTRIBUTE, [item.adapter, item.absent])
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> CaseFile | None:
    """Collect the YAML files below ``cases/``."""
    root = parent.config.rootpath / "cases"
    if file_path.suffix == ".yaml" and root in file_path.parents:
        return CaseFile.from_parent(parent, path=file_path)
    return None


class CaseFile(pytest.File):
    """A case file: an item for each case on each implementation."""

    def collect(self) -> Iterator[CellItem]:
        """Expand the cases; no framework is imported."""
        asked = self.config.stash[_ASKED]
        cases = load_file(self.path, self.config.rootpath / "cases")
        cases = tuple(case for case in cases if in_set(case, asked.tags))
        if asked.patterns:
            wanted = {case.id for case in select(asked.corpus, asked.patterns)}
            cases = tuple(case for case in cases if case.id in wanted)
        for case in cases:
            for adapter in asked.adapters:
                # Under --dist=loadgroup what follows the last @ is the group: an implementation's
                # cells go to one worker, which alone imports its framework.
                name = f"{case.id.removeprefix(case.file + '/')}@{adapter}"
                yield CellItem.from_parent(self, name=name, case=case, adapter=adapter)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ARG002 pytest's signature
        """Show the one message of a malformed file instead of a traceback."""
        if isinstance(excinfo.value, ConformanceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class VoidError(Exception):
    """The suite's own fault: nothing is known of the implementation."""


class NotConformingError(Exception):
    """The cell differs, changed or crashed."""


class CellItem(pytest.Item):
    """One cell. It is asked in ``setup``, so that a fault of the suite is an error, not a failure."""

    def __init__(self, *, case: Case, adapter: str, **others: Any) -> None:
        super().__init__(**others)
        self.case, self.adapter = case, adapter
        self.cell: Cell | None = None
        self.absent = ""

    def setup(self) -> None:
        """Put the case to the implementation and judge the answer."""
        asked = self.config.stash[_ASKED]
        try:
            self.cell = asked.cell(self.case, self.adapter)
        except UnstartedError as error:
            if self.adapter not in asked.hosts:
                raise
            self.absent = str(error.args[0])
            pytest.skip(self.absent)
        row = self.cell.row
        told = {"case": row.case, "implementation": row.implementation, "verdict": row.verdict, "why": row.explanation}
        # What a JUnit file keeps of a cell; the rest is in the results.
        self.user_properties += [(name, value) for name, value in told.items() if value]
        if self.cell.row.verdict == "void":
            raise VoidError(f"void: {self.cell.row.explanation}")

    def runtest(self) -> None:
        """Pass, fail, skip or xfail by the verdict."""
        assert self.cell is not None
        verdict, why = self.cell.row.verdict, self.cell.row.explanation
        if verdict in FAILING:
            raise NotConformingError(f"{verdict}: {why}")
        if verdict == "deviates":
            pytest.xfail(why)
        if verdict == "unsupported":
            pytest.skip(why)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ARG002 pytest's signature
        """Show what a reader needs: the fact, the verdict and why."""
        if isinstance(excinfo.value, (VoidError, NotConformingError, ConformanceError)):
            return f"{self.case.id} on {self.adapter}\n{self.case.fact}\n{excinfo.value}\nagain: {self._command()}"
        return super().repr_failure(excinfo)

    def _command(self) -> str:
        """Return the command that runs this item alone, from the folder where pytest was started."""
        options = [f"--deviations={file}" for file in self.config.getoption("--deviations")]
        if self.adapter in self.config.getoption("--adapter"):
            options.append(f"--adapter={self.adapter}")
        if self.config.getoption("--all"):
            options.append("--all")
        if self.config.getoption("--implementations"):
            options.append(f"--implementations={self.config.getoption('--implementations')}")
        options += [f"--tag={tag}" for tag in self.case.tags if tag in self.config.getoption("--tag")]
        file = os.path.relpath(self.path, self.config.invocation_params.dir)
        return shlex.join(["pytest", *options, f"{file}::{self.name}"])

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Locate the item by its file."""
        return self.path, None, f"{self.case.id} on {self.adapter}"
