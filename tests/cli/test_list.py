"""``conformance list`` prints one thing a line, and imports no framework for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters.registry import known
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


def listed(capsys: Captured, *options: str) -> dict[str, list[str]]:
    """Return the cells of each line by the name in it."""
    assert 0 == main(["list", "--implementations", *options])
    lines = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
    return {name: cells for name, *cells in lines}


def test_implementations(capsys: Captured) -> None:
    """Every adapter is a line: name, version, execution, device, provenance, dialect; a star marks the default ones."""
    lines = listed(capsys)
    assert known().keys() <= lines.keys()
    assert [np.__version__, "eager", "cpu", "executed*", "frozen C"] == lines["numpy"]
    assert {5} == {len(cells) for cells in lines.values()}
    assert {name for name, spec in known().items() if spec.default} == {
        name for name, cells in lines.items() if cells[3] == "executed*"
    }


def test_who_is_not_installed(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed has no version, and the command that installs it in place of its dialect."""
    lacking = replace(known()["torch"], requires=("no-such-distribution",))
    monkeypatch.setattr("conformance.cli.list.known", lambda: {"torch": lacking})
    assert ["-", "eager", "cpu", "executed*", f"not installed; {lacking.install}"] == listed(capsys)["torch"]


def test_dialects_are_told(capsys: Captured) -> None:
    """A dialect is told by what parts from the paper, and by what freezing does."""
    lines = {name: dialect for name, (*_, dialect) in listed(capsys).items() if not dialect.startswith("not installed")}
    expected = {
        "keras-tensorflow": "population variance, frozen C", "flax-linen": "population variance", "torch": "frozen A",
        "tensorflow-fused": "as the paper", "mxnet": "population variance, float32 old, frozen A",
        "paddle": "population variance, float32 constants, frozen A",
    }  # fmt: skip
    assert {name: dialect for name, dialect in expected.items() if name in lines}.items() <= lines.items()


def test_modelled_systems(capsys: Captured) -> None:
    """Systems that cannot be run here are listed as modelled, with version and dialect of the model."""
    lines = listed(capsys)
    assert ["R2024a", "eager", "cpu", "modelled", "population variance, frozen A"] == lines["matlab"]
    assert ["0.16.10", "eager", "cpu", "modelled", "frozen A"] == lines["flux"]
    assert "modelled" in lines["lux"]


def test_for_programs(capsys: Captured) -> None:
    """With --json everything is there: choices of the dialect, what installs it, who is asked by default."""
    assert 0 == main(["list", "--implementations", "--json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() >= known().keys()
    assert {"running_variance": "population", "frozen": "C"} == rows["keras-tensorflow"]["dialect"]
    assert [True, "modelled"] == [rows["torch"]["default"], rows["matlab"]["provenance"]]


def test_json_is_of_implementations(capsys: Captured) -> None:
    """--json beside another list is refused, not ignored."""
    assert 2 == main(["list", "--cases", "--json"])
    assert "--json goes with --implementations" in capsys.readouterr().err


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
