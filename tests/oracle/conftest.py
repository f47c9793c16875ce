"""The second oracle as a package of its own; tests are none to import it from."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def precise() -> ModuleType:
    """Return the package that holds the second oracle."""
    init = Path(__file__).with_name("precise") / "__init__.py"
    spec = importlib.util.spec_from_file_location("precise_oracle", init)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("precise_oracle", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module
