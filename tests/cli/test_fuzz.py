"""``conformance fuzz``: what it prints, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.cli.main import main

FAKES = Path(__file__).parents[1] / "fakes"
Fuzz = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fuzz(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fuzz:
    """Return the command; it gives the exit code and what was said."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKES), os.environ.get("PYTHONPATH", "")]))

    def command(*arguments: str) -> tuple[int, str, str]:
        return main(["fuzz", *arguments]), *capsys.readouterr()

    return command


def test_nothing_is_found(fuzz: Fuzz) -> None:
    """A sound implementation exits 0, and how many cases were drawn is told."""
    code, out, _ = fuzz("third_party:Sound", "--examples=60", "--quiet")
    assert 0 == code
    assert "Sound@1.0:eager:cpu: 60 cases drawn in " in out


def test_what_is_found_fails_again(fuzz: Fuzz, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is found is told as a case file, which run fails on as well; exit code 1."""
    code, out, _ = fuzz("third_party:MomentumSwapped", "--quiet", f"--output={tmp_path / 'found'}")
    assert 1 == code
    assert "differs: running_" in out
    assert (tmp_path / "found" / "found.yaml").read_text("utf-8") in out
    assert f"again: conformance run --adapter=third_party:MomentumSwapped --cases={tmp_path / 'found'}" in out
    arguments = ["--adapter=third_party:MomentumSwapped", f"--cases={tmp_path / 'found'}", "--quiet"]
    assert 1 == main(["run", *arguments, f"--output={tmp_path / 'out'}"])


def test_a_crash_is_found(fuzz: Fuzz) -> None:
    """An implementation that ends its host fails on a minimal case too."""
    code, out, _ = fuzz("third_party:Dies", "--quiet", "--examples=200")
    assert 1 == code
    assert "crashed: the implementation took its host down: the host ended with exit status 7" in out
    assert (1, True) == (out.count("\n  - "), "\n  shape: 2x1\n" in out)


REFUSALS = {
    "examples": (["numpy", "--examples=0"], "--examples is 0, expected at least 1"),
    "seconds": (["numpy", "--seconds=0"], "--seconds is 0, expected a number above 0"),
    "output": (["numpy", f"--output={__file__}"], f"{__file__} is no folder that can be written to"),
    "adapter": (["nompy"], "no adapter is named 'nompy'"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(fuzz: Fuzz, arguments: list[str], said: str) -> None:
    """A fault of the command line is one message and exit code 2."""
    code, out, err = fuzz(*arguments)
    assert (2, "") == (code, out)
    assert said in err
