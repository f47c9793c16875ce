"""Takes the picture of the report that README.md shows: headless Chromium, light theme, a cell opened.

``python tools/picture.py reports/latest docs/images/report.png``
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

from conformance.report.page import REPORT_NAME
from conformance.results.read import read_results

_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: What is shown: a deviation that one sees at a glance, PyTorch's backward of an evaluate.
_ADAPTER = "torch"
_CASE = "gradients_evaluate/through-evaluate"


def main() -> int:
    """Open the report, wait until the panel is drawn, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of a run")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--view", help="the fragment of the page's address (default: the matrix, one cell opened)")
    parser.add_argument("--size", default="1640x900", help="width x height in CSS pixels")
    arguments = parser.parse_args()
    page_file = arguments.folder / REPORT_NAME
    chromium = shutil.which("chromium")
    if chromium is None or not page_file.is_file():
        print(f"found no {'Chromium' if chromium is None else page_file}; `make report` comes first", file=sys.stderr)
        return 2
    view = arguments.view or _opened(arguments.folder)
    width, height = map(int, arguments.size.split("x"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="light", device_scale_factor=1
        )
        page.goto(page_file.resolve().as_uri() + view)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(500)  # the panel unpacks its arrays after it is drawn
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=arguments.picture)
        browser.close()
    return 0


def _opened(folder: Path) -> str:
    results = read_results(folder)
    column = next(row.id for row in results.run.implementations if row.name == _ADAPTER)
    case = next(cell.case for cell in results.cells if cell.implementation == column and cell.case.startswith(_CASE))
    return f"#matrix?{urlencode({'q': 'gradients', 'only': '1', 'case': case, 'impl': column})}"


if __name__ == "__main__":
    sys.exit(main())
