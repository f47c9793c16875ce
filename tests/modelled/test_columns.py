"""Modelled columns: predicted from a declared dialect, marked so, and silent where nothing settles the answer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from conformance.cli.main import main
from conformance.corpus.load import load_corpus
from conformance.corpus.select import select
from conformance.definition.dialect import choices
from conformance.modelled.model import AREAS, Model, modelled_cells, speaks_of
from conformance.modelled.systems import MODELS
from conformance.report.page import write_report
from conformance.results.merge import merge
from conformance.results.read import Results, read_results
from conformance.results.rows import ImplementationRow

CASES = load_corpus()
ASKED = select(
    CASES, ["running_stats/*", "frozen/*", "untracked/*", "scenarios/gradient-call/*", "scenarios/siamese/*"]
)

models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@models
def test_cells_follow_from_the_declaration(model: Model) -> None:
    """A cell agrees, deviates as declared, or is unsupported: nothing else can come of a prediction."""
    cells = list(modelled_cells(ASKED, [model]))
    assert len(cells) > 20
    assert {"agrees", "rough", "deviates", "unsupported"} >= {cell.row.verdict for cell in cells}
    assert {"modelled"} == {cell.implementation.provenance for cell in cells}


@models
def test_silence(model: Model) -> None:
    """There is no cell where only an execution can tell: open cases, rounding, 16 bits, layout, NaN."""
    told = [case for case in CASES if speaks_of(model, case)]
    assert 100 < len(told) < len(CASES)
    assert not any(case.open or case.dtype in ("float16", "bfloat16") for case in told)
    assert AREAS >= {clause.partition(".")[0] for case in told for clause in case.clauses}


@models
def test_every_declared_choice_has_evidence(model: Model) -> None:
    """Whatever a model declares of a choice that the paper leaves open is backed, and nothing else is."""
    about = {one.about for one in model.evidence}
    assert about <= set(choices())
    declared = {name for name in choices() if "undeclared" not in model.option(name)}
    assert declared - {"first_update"} <= about | {"constants"}
    assert all(one.link.startswith("https://") for one in model.evidence if one.kind in ("source", "docs"))


def test_matlab_blends_the_population_variance() -> None:
    """The dialect is that of the systems: MATLAB's running variance deviates, that of Flux and Lux agrees."""
    cells = list(modelled_cells(select(CASES, ["running_stats/momentum"]), MODELS.values()))
    verdicts = {
        name: {row.verdict for cell in cells if cell.implementation.name == name
               for row in cell.row.quantities if row.name == "running_var"}
        for name in MODELS
    }  # fmt: skip
    assert {"deviates"} <= verdicts["matlab"]
    assert "deviates" not in {row.verdict for cell in cells for row in cell.row.quantities
                              if cell.implementation.name == "flux" and row.dtype == "float32"}  # fmt: skip


def test_the_mode_that_flux_finds_out() -> None:
    """A plain call evaluates and a gradient call trains in Flux; MATLAB and Lux are told, and lack the question."""
    cells = list(modelled_cells(select(CASES, ["scenarios/gradient-call/mode-left-open"]), MODELS.values()))
    verdicts = {name: {cell.row.verdict for cell in cells if cell.implementation.name == name} for name in MODELS}
    assert {"unsupported"} == verdicts["matlab"] == verdicts["lux"]
    assert verdicts["flux"]
    assert verdicts["flux"] <= {"agrees", "deviates"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with modelled columns."""
    folder = tmp_path_factory.mktemp("run")
    arguments = ["--adapter=numpy", "--modelled", "--case=running_stats/probe", "--quiet", f"--output={folder}"]
    assert 0 == main(["run", *arguments])
    return folder


def test_they_are_added_where_asked_for(run: Path) -> None:
    """``run --modelled`` adds a column for each system beside what is executed."""
    columns = {row.name: row.provenance for row in read_results(run).run.implementations}
    assert {"numpy": "executed", **dict.fromkeys(MODELS, "modelled")} == columns


def test_the_report_counts_them_apart(run: Path) -> None:
    """The first sentence counts what was executed, and names the modelled cells as such."""
    page = (run / "index.html").read_text()
    results = read_results(run)
    executed = [cell for cell in results.cells if results.implementation(cell.implementation).provenance == "executed"]
    assert f"Of {len(executed)} cells" in page
    assert f"{len(results.cells) - len(executed)} cells of 3 columns more are modelled, not executed." in page


def renamed(results: Results, provenance: str) -> Results:
    """Return the results of MATLAB alone, as if they came from elsewhere, of another version."""
    rows = tuple(
        ImplementationRow(id="matlab@R2026b:eager:cpu", name="matlab", versions={"matlab": "R2026b"},
                          provenance=provenance)  # type: ignore[arg-type]
        for row in results.run.implementations if row.name == "matlab"
    )  # fmt: skip
    cells = tuple(
        msgspec.structs.replace(cell, implementation="matlab@R2026b:eager:cpu")
        for cell in results.cells if cell.implementation.startswith("matlab@")
    )  # fmt: skip
    run = msgspec.structs.replace(results.run, implementations=rows)
    return msgspec.structs.replace(results, run=run, cells=cells)


@pytest.mark.parametrize("provenance", ["recorded", "executed"])
def test_a_modelled_column_gives_way(run: Path, tmp_path: Path, provenance: str) -> None:
    """Merged with real answers of the same name, of whatever version, the prediction is gone with all its cells."""
    modelled = read_results(run)
    merged = merge([modelled, renamed(modelled, provenance)])
    left = {row.name: row.provenance for row in merged.run.implementations}
    assert (provenance, "modelled") == (left["matlab"], left["flux"])
    known = {row.id for row in merged.run.implementations}
    assert known >= {cell.implementation for cell in merged.cells}
    assert known >= {own for part in merged.run.runs for own in part.implementations}
    write_report(merged, tmp_path / "index.html")


def test_modelled_columns_merge_with_one_another(run: Path) -> None:
    """Where nobody has real answers the prediction stays."""
    results = read_results(run)
    merged = merge([results, results])
    assert {"matlab", "flux", "lux", "numpy"} == {row.name for row in merged.run.implementations}
