"""A browser, and pages of the sample results."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from conformance.report.page import write_report
from conformance.results.read import Results

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """Return the module that builds sample results; tests are no package to import it from."""
    spec = importlib.util.spec_from_file_location("report_sample", Path(__file__).with_name("sample.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("report_sample", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = os.environ.get("CONFORMANCE_CHROMIUM") or shutil.which("chromium")
    if executable is None:
        pytest.fail(
            "Chromium is missing: `apt-get install chromium`, or name it in CONFORMANCE_CHROMIUM", pytrace=False
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(sample: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of the sample results."""
    path = tmp_path_factory.mktemp("report") / "index.html"
    write_report(sample.sample_results(), path)
    return path


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, report: Path, tmp_path: Path) -> Iterator[Opener]:
    """Return a function that opens a report; a fault on the page, or a request elsewhere, fails the test."""
    contexts = []
    faults: list[str] = []

    def opener(fragment: str = "", results: Results | None = None, **options: object) -> Page:
        path = report
        if results is not None:
            path = tmp_path / "page.html"
            write_report(results, path)
        settings: dict[str, object] = {"viewport": {"width": 1280, "height": 900}, **options}
        context = browser.new_context(**settings)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith("file:") else faults.append(request.url))
        page.goto(f"{path.as_uri()}{fragment}")
        return page

    yield opener
    for context in contexts:
        context.close()
    assert faults == []
