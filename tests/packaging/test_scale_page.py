"""docs/scale.md quotes docs/bench.json, which holds the figures of ``make bench``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import figures

ROOT = Path(__file__).parents[2]
#: What the figures are at least.
NAMES = (
    "overhead_ms_per_cell", "overhead_percent_on_slow_cells", "collect_seconds", "default_run_seconds_cold",
    "default_run_seconds_warm", "controller_growth_mb_100k", "report_100k_seconds", "report_100k_mb",
    "gradcheck_rate_ratio", "gradgradcheck_rate_ratio", "onnx_rate_ratio", "oracle_over_torch_time", "scaling_exponent",
)  # fmt: skip


def test_the_page_says_what_was_measured() -> None:
    """The generated parts of the page are those of docs/bench.json."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert text == figures.page(text, json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_listed(name: str) -> None:
    """Each figure that was promised belongs to a module that measures it."""
    (module,) = [module for module, targets in figures.FIGURES.items() if name in targets]
    assert f'"{name}"' in (ROOT / "benchmarks" / "bench" / f"{module}.py").read_text(encoding="utf-8")


def test_another_figure_makes_another_page() -> None:
    """A page of other figures is not current."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    bench = json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))
    assert text != figures.page(text, {**bench, "overhead_ms_per_cell": 123.0})
