"""The controlling process of a pytest run: what was asked, and recording and publishing its cells."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import msgspec
import pytest

from conformance.corpus.case import Case
from conformance.corpus.load import default_root, load_corpus
from conformance.corpus.select import select
from conformance.engine.adapters import adapters_to_run, configured_hosts, not_installed
from conformance.engine.cell import Cell, cell_of
from conformance.engine.compiled import part_asked
from conformance.engine.limits import check_time_limit, default_memory_limit
from conformance.engine.machine import run_row
from conformance.engine.publish import publish
from conformance.engine.recorder import Recorder
from conformance.engine.records import records_for, stale
from conformance.errors import ConformanceError
from conformance.host.configuration import ConfiguredHost
from conformance.host.session import HostSession
from conformance.results.read import read_results
from conformance.results.rows import RunRow
from conformance.results.summary import render
from conformance.verdict.deviations import Deviation, load_deviations

__all__ = ["ABSENT_ATTRIBUTE", "CELL_ATTRIBUTE", "Asked", "Recording"]

#: The attribute of a test report in which a cell travels from a worker to the controller.
CELL_ATTRIBUTE = "conformance_cell"
#: The one in which it travels that a host does not start: its name and the reason.
ABSENT_ATTRIBUTE = "conformance_absent"


class Asked:
    """The options of a pytest run, and the hosts that this process has started for them."""

    def __init__(self, config: pytest.Config) -> None:
        option = config.getoption
        self.root = config.rootpath / "cases"
        self.given_patterns: list[str] = option("--case")
        self.keyword: str = option("keyword", "")
        #: What was asked for by pytest's own means: items and files.
        self.narrower = [str(arg) for arg in config.args if "::" in str(arg) or str(arg).endswith(".yaml")]
        self.tags: list[str] = option("--tag")
        self.given: list[str] = option("--adapter")
        self.everything: bool = option("--all")
        self.file: Path | None = option("--implementations")
        self.output: Path = option("--output") or config.rootpath / "reports" / "latest"
        self.extra: list[Path] = option("--deviations")
        self.time_limit: float = option("--time-limit")
        self.device: str = option("--device")
        self.in_process: bool = option("--in-process")
        self._sessions: dict[str, HostSession] = {}

    def check(self) -> None:
        """Refuse options that name nothing.

        Raises:
            ConformanceError: says which, and what to do.
        """
        check_time_limit(self.time_limit)
        if self.given or self.everything or self.file or self.given_patterns or self.tags or self.extra:
            self.adapters  # noqa: B018  (its error is to be told now)
            select(self.corpus, self.patterns)
            load_deviations(self.extra)

    @cached_property
    def patterns(self) -> list[str]:
        """Return the patterns of the cases that are asked, none for all."""
        if self.keyword or self.narrower:  # who names items or words has chosen
            return self.given_patterns
        return part_asked(self.adapters, self.corpus, self.given_patterns)

    @cached_property
    def hosts(self) -> dict[str, ConfiguredHost]:
        """Return the hosts by command, those of ``pyproject.toml`` unless a file was given."""
        return configured_hosts(self.file, self.root.parent)

    @cached_property
    def adapters(self) -> list[str]:
        """Return the names of the adapters that are asked."""
        return adapters_to_run(self.given, everything=self.everything, hosts=self.hosts, alone=self.file is not None)

    @cached_property
    def corpus(self) -> tuple[Case, ...]:
        """Return the cases of the default set, and those with the tags that were asked for."""
        return load_corpus(self.root, self.tags)

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """Return the recorded deviations, held against the corpus."""
        return records_for(self.corpus, self.extra, own_corpus=self.root.resolve() == default_root().resolve())

    def cell(self, case: Case, adapter: str) -> Cell:
        """Put a case to an adapter's host, which is started on first use and kept."""
        return cell_of(case, self.session(adapter), self.deviations)

    def session(self, adapter: str) -> HostSession:
        """Return the session of an adapter."""
        if adapter not in self._sessions:
            self._sessions[adapter] = HostSession(
                adapter, time_limit=self.time_limit, device=self.device, in_process=self.in_process,
                memory_limit=int(default_memory_limit() * 2**30), host=self.hosts.get(adapter),
            )  # fmt: skip
        return self._sessions[adapter]

    def close(self) -> None:
        """End all hosts."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()


class Recording:
    """A plugin of the controlling process: records cells as reports arrive, publishes at the end."""

    def __init__(self, config: pytest.Config, asked: Asked) -> None:
        self.config, self.asked = config, asked
        self._recorder: Recorder | None = None
        self._complete = True
        self._said: list[str] = []
        self._faults: list[str] = []
        self._absent: dict[str, str] = {}
        self._decode = msgspec.json.Decoder(Cell).decode

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the cell that a report of a setup carries, or that there is none."""
        if report.when in ("call", "teardown") or not _of_a_case(report.nodeid):
            return
        cell: str | None = getattr(report, CELL_ATTRIBUTE, None)
        self._absent.update([getattr(report, ABSENT_ATTRIBUTE)] if hasattr(report, ABSENT_ATTRIBUTE) else [])
        try:
            if cell is not None:
                self._record(self._decode(cell))
        except ConformanceError as error:
            self._recorder = None
            raise pytest.exit.Exception(str(error), returncode=error.exit_code) from None
        self._complete &= cell is not None or not report.failed

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the end of the results, then the report; what is at fault with either fails the run."""
        if self._recorder is None:
            return
        stopped = session.shouldstop or session.shouldfail
        interrupted = session.exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        try:
            self._recorder.lacks(self._absent)
            self._recorder.finish(complete=self._complete and not stopped and not interrupted)
            page = publish(self._recorder.path, self.asked.corpus)
            results = read_results(self._recorder.path)
            self._said = [render(results), f"results: {self._recorder.path}", f"report:  {page}"]
            self._faults = [f"changed: {told}" for told in stale(self.asked.deviations, self.asked.corpus, results)]
            if self._faults and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        except ConformanceError as error:
            self._faults = [f"no report: {error}"]
            session.exitstatus = error.exit_code

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found and where it is."""
        if self._said or self._faults:
            terminalreporter.section("batch norm conformance")
        for line in self._said:
            terminalreporter.write_line(line)
        for line in self._faults:
            terminalreporter.write_line(line, red=True)

    def _record(self, cell: Cell) -> None:
        if self._recorder is None:
            self._recorder = Recorder(self.asked.output, self._run_row())
        self._recorder.add(cell)

    def _run_row(self) -> RunRow:
        cases = select(self.asked.corpus, self.asked.patterns)
        alone = self.asked.file is not None
        absent = not_installed(self.asked.given, everything=self.asked.everything, alone=alone)
        return run_row(cases, corpus=self.asked.corpus, not_installed=absent, selection=self._selection(),
                       deviations=self.asked.deviations)  # fmt: skip

    def _selection(self) -> str:
        """Say what part of the corpus was asked for; empty for all of it."""
        keyword = self.asked.keyword
        tags = [f"--tag {tag}" for tag in self.asked.tags]
        parts = [*self.asked.patterns, *tags, f"-k {keyword!r}" if keyword else ""]
        return " ".join(part for part in (*parts, *self.asked.narrower) if part)


def _of_a_case(nodeid: str) -> bool:
    return nodeid.partition("::")[0].endswith(".yaml")
