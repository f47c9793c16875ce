"""``conformance list`` prints one thing a line, and imports no framework for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conformance.cli.main import main
from conformance.corpus.load import load_corpus
from conformance.definition.variants import VARIANTS

Captured = pytest.CaptureFixture[str]


def test_cases(capsys: Captured) -> None:
    """Every id of the corpus is a line."""
    assert 0 == main(["list", "--cases"])
    assert [case.id for case in load_corpus()] == capsys.readouterr().out.splitlines()


def test_a_part_of_the_cases(capsys: Captured) -> None:
    """A pattern restricts the cases."""
    assert 0 == main(["list", "--cases", "--case=running_stats/momentum[momentum=0.5,*]"])
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("running_stats/momentum[momentum=0.5,") for line in lines)


def test_a_pattern_that_matches_nothing(capsys: Captured) -> None:
    """A pattern without a case is bad input, with near ones."""
    assert 2 == main(["list", "--cases", "--case=running_stats/momentun"])
    assert "near ones: running_stats/momentum" in capsys.readouterr().err


def test_a_pattern_is_of_cases(capsys: Captured) -> None:
    """A pattern beside another list than that of the cases is refused, not ignored."""
    assert 2 == main(["list", "--variants", "--case=running_stats/*"])
    assert "go with --cases" in capsys.readouterr().err


def test_implementations(capsys: Captured) -> None:
    """Every adapter is a line: name, version, execution, whether it runs by default, or how to install it."""
    assert 0 == main(["list", "--implementations"])
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert {"numpy", "torch", "keras-tensorflow", "flax-linen"} <= lines.keys()
    assert ["-", "eager", "default"] == lines["numpy"]
    assert all(len(said) == 3 or "not installed; pip install" in " ".join(said) for said in lines.values())


def test_modelled_systems(capsys: Captured) -> None:
    """Systems that cannot be run here are listed as modelled, with the version that is modelled."""
    assert 0 == main(["list", "--implementations"])
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert [["R2024a", "eager", "modelled"], ["0.16.10", "eager", "modelled"]] == [lines["matlab"], lines["flux"]]
    assert "modelled" in lines["lux"]


def test_variants(capsys: Captured) -> None:
    """Every variant is a line with its sentence."""
    assert 0 == main(["list", "--variants"])
    lines = capsys.readouterr().out.splitlines()
    assert len(VARIANTS) == len(lines)
    assert "epsilon missing: s is sqrt(var)." in lines


def test_what_to_list_is_required(capsys: Captured) -> None:
    """Without saying what, the usage is told."""
    with pytest.raises(SystemExit) as ended:
        main(["list"])
    assert 2 == ended.value.code
    assert "one of the arguments --cases --implementations --variants is required" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["--cases", "--implementations", "--variants"])
def test_no_framework_is_imported(what: str) -> None:
    """Listing imports none of the frameworks."""
    script = (
        "import sys; from conformance.cli.main import main; main(['list', sys.argv[1]]); "
        "print(sorted({'torch', 'tensorflow', 'keras', 'jax', 'flax'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, what], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stderr


def test_a_tag_adds_its_cases(capsys: Captured) -> None:
    """Without its tag a case is not listed, with it the others are too."""
    assert 0 == main(["list", "--cases", "--tag=large"])
    lines = capsys.readouterr().out.splitlines()
    assert {case.id for case in load_corpus()} < set(lines)
    assert any(line.startswith("large/") for line in lines)


def test_a_tag_that_marks_nothing(capsys: Captured) -> None:
    """An unknown tag is bad input; those that there are are named."""
    assert 2 == main(["list", "--cases", "--tag=larg"])
    assert "tag 'larg' marks no case\n  hint: tags are: large" in capsys.readouterr().err


def test_a_tag_is_of_cases() -> None:
    """A tag beside another list than that of the cases is refused, not ignored."""
    assert 2 == main(["list", "--variants", "--tag=large"])
