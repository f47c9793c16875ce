"""A process apart for the frameworks that cannot share one with others."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.host.environment import host_environment


@pytest.fixture(scope="module")
def apart(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Return what calls a function of the test's file, by its object, in a process that outlasts the call."""
    command = [sys.executable, str(Path(__file__).with_name("apart.py")), str(request.path)]
    environment = host_environment("cpu", tmp_path_factory.mktemp("apart"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
            pickle.dump((function.__name__, arguments, options), asked)
            asked.flush()
            try:
                result, error = pickle.load(answers)  # noqa: S301  (from the process started above)
            except EOFError:
                pytest.fail(f"{function.__name__} ended its process with code {process.wait()}")
            if error is not None:
                raise error
            return result

        yield call
