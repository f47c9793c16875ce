"""What the tests of bundles share: the commands, on the small corpus and the adapters among the fakes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.bundle import answer
from conformance.cli.main import main

TESTS = Path(__file__).parents[1]
CORPUS = TESTS / "fakes" / "corpus"


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


Commands = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Return the command line, ``answer`` among the verbs; all but that get the small corpus."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS / "fakes"), str(TESTS / "host"), str(TESTS.parent)]))

    def run(verb: str, *arguments: object, corpus: Path = CORPUS) -> Said:
        words = [str(argument) for argument in arguments]
        if verb == "answer":
            code = answer.main(words)
        else:
            code = main([verb, *words, *([f"--cases={corpus}"] if verb in ("run", "export", "import") else [])])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def bundle(command: Commands, tmp_path: Path) -> Path:
    """Return a bundle of the small corpus, without answers."""
    folder = tmp_path / "bundle"
    assert 0 == command("export", folder).code
    return folder


@pytest.fixture
def answered(command: Commands, bundle: Path) -> Path:
    """Return a bundle that the canary answered."""
    assert 0 == command("answer", bundle, "numpy").code
    return bundle
