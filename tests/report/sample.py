"""Synthetic but realistic results: five implementations, some sixty cases, all nine verdicts."""

from __future__ import annotations

import random
from dataclasses import asdict
from itertools import product

import msgspec

from conformance.definition.clauses import CLAUSES
from conformance.results.read import Results
from conformance.results.rows import (
    CaseRow,
    CellRow,
    ChoiceRow,
    DeviationRow,
    ImplementationRow,
    InputRow,
    Number,
    QuantityRow,
    RunRow,
    Verdict,
    worst,
)

__all__ = ["HOSTILE", "hostile_results", "large_results", "many_results", "sample_results"]

HOSTILE = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">&lt;b&gt;'

TORCH, KERAS, FLAX, NUMPY, MATLAB = (
    "torch@2.13.0:eager:cpu",
    "keras-tensorflow@3.12.0:graph:cpu",
    "flax-linen@0.12.2:jit:cpu",
    "numpy@2.4.6:eager:cpu",
    "matlab-dlnetwork@R2024a:eager:cpu",
)

_SAMPLE = {
    "running_variance": "sample", "momentum": "new", "first_update": "blend",
    "statistics_gradient": "leaf", "update_gradient": "detached",
}  # fmt: skip
_POPULATION = _SAMPLE | {"running_variance": "population"}

IMPLEMENTATIONS = (
    ImplementationRow(id=TORCH, name="torch", versions={"torch": "2.13.0", "numpy": "2.4.6"}, dialect=_SAMPLE),
    ImplementationRow(
        id=KERAS, name="keras-tensorflow", versions={"keras": "3.12.0", "tensorflow": "2.21.0"}, execution="graph",
        dialect=_POPULATION | {"statistics_gradient": "constant", "update_gradient": "differentiable"},
    ),
    ImplementationRow(
        id=FLAX, name="flax-linen", versions={"flax": "0.12.2", "jax": "0.9.0"}, execution="jit",
        dialect=_POPULATION | {"update_gradient": "differentiable"},
    ),
    ImplementationRow(id=NUMPY, name="numpy", versions={"numpy": "2.4.6"}, dialect=_SAMPLE),
    ImplementationRow(
        id=MATLAB, name="matlab-dlnetwork", versions={"matlab": "R2024a"}, provenance="modelled",
        dialect=_SAMPLE | {"statistics_gradient": "constant", "first_update": "blend"},
    ),
)  # fmt: skip

RECORD = DeviationRow(
    implementation="flax-linen", versions=">=0.12", variants=("one-pass-variance",),
    reason="The variance is avg(x^2) - mean^2, which cancels.", proof="A NumPy transcription gives the same bits.",
    upstream="https://example.org/flax/issues/1",
)  # fmt: skip

_FILES = {
    "normalise": (("population-variance", "1.1"), ("epsilon-inside-root", "1.2"), ("variance-far-from-one", "1.3")),
    "affine": (("scale-and-shift", "2.1"), ("without-affine", "2.2"), ("gamma-zero", "2.3")),
    "running_stats": (("mean-blends", "3.1"), ("variance-blends", "3.2"), ("cumulative-average", "3.4")),
    "state": (("moves-once", "4.1"), ("evaluate-leaves-it", "4.3")),
    "evaluate": (("running-statistics", "5.1"), ("one-row", "5.4")),
    "gradients/train": (("through-statistics", "6.1"), ("gamma-and-beta", "6.2")),
    "gradients/evaluate": (("statistics-are-constants", "7.1"), ("gradient-of-statistics", "7.3")),
    "layout": (("ranks", "14.1"), ("strided-input", "14.3")),
}
_FACTS = {
    "3.2": "The running variance blends in the sample variance of the batch",
    "7.3": "What the running statistics get as gradient in evaluate is shown",
}


def sample_results(*, complete: bool = True, selection: str = "") -> Results:
    """Return the results, the same every time."""
    cases = tuple(_cases())
    cells = tuple(_cell(case, row.id) for case, row in product(cases, IMPLEMENTATIONS))
    return Results(
        run=RunRow(
            suite="0.1.0",
            started="2026-03-14T15:09:26Z",
            machine={"system": "Linux 6.1", "processor": "x86_64, 8 cores", "python": "3.11.9"},
            cases_digest="5f2d7c0a9be14b1e8d3c",
            cases=cases,
            implementations=IMPLEMENTATIONS,
            not_installed={"mxnet": "No module named 'mxnet'", "flax-nnx": "flax 0.7.5 is older than 0.8"},
            selection=selection,
            clauses={number: asdict(clause) for number, clause in CLAUSES.items()},
            deviations={"flax one-pass running variance": RECORD},
            variants={"one-pass-variance": "The variance is computed as avg(x^2) - mean^2.",
                      "population running variance": "The running variance blends in var itself."},
            choices={"running_variance": ChoiceRow(clause="3.2", options={"sample": "It is var * n / (n - 1).",
                                                                          "population": "It is var itself."})},
        ),
        cells=cells if complete else cells[: len(cells) // 2],
        complete=complete,
        seconds=192.4 if complete else 0.0,
    )


def many_results() -> Results:
    """Return the sample with an older Flax, which lacks the recorded deviation, and PyTorch in seven executions."""
    results = sample_results()
    replace = msgspec.structs.replace
    older = "flax-linen@0.10.0:jit:cpu"
    added = {older: FLAX} | {f"torch@2.13.0:mode-{at}:cpu": TORCH for at in range(6)}
    rows = [
        replace(results.run.implementations[position], id=new, execution=new.split(":")[1])
        for new, position in zip(added, [2, *[0] * 6], strict=True)
    ]
    cells = [
        replace(cell, implementation=new,
                quantities=tuple(map(_mended, cell.quantities)) if new == older else cell.quantities)
        for new, old in added.items() for cell in results.cells if cell.implementation == old
    ]  # fmt: skip
    run = replace(results.run, implementations=(*results.run.implementations, *rows))
    return Results(run=run, cells=(*results.cells, *cells), complete=True, seconds=9.0)


def _mended(row: QuantityRow) -> QuantityRow:
    if row.deviation is None:
        return row
    return msgspec.structs.replace(row, deviation=None, variant="population running variance")


def large_results(cases: int = 400, implementations: int = 30) -> Results:
    """Return results too many to draw at once, none of which agrees wholly."""
    columns = tuple(
        ImplementationRow(id=f"framework-{at}@1.0:eager:cpu", name=f"framework-{at}", versions={"framework": "1.0"})
        for at in range(implementations)
    )
    rows = tuple(CaseRow(id=f"area_{at // 40}/case-{at}", fact=f"Fact {at}", clauses=("1.1",)) for at in range(cases))
    cells = tuple(
        CellRow(
            case=row.id, implementation=column.id, verdict="rough" if at % 7 == 0 else "agrees",
            quantities=(QuantityRow(step=1, name="y", clause="1.1", verdict="rough", explanation="x" * 200),),
        )
        for row in rows
        for at, column in enumerate(columns)
    )  # fmt: skip
    run = RunRow(
        suite="0.1.0", started="2026-01-01T00:00:00Z", machine={}, cases_digest="", cases=rows, implementations=columns
    )
    return Results(run=run, cells=cells, complete=True)


def hostile_results() -> Results:
    """Return results in which every free text tries to break out of the page."""
    implementation = ImplementationRow(
        id=f"{HOSTILE}@1:eager:cpu", name=HOSTILE, versions={HOSTILE: HOSTILE}, dialect={HOSTILE: HOSTILE}
    )
    case = CaseRow(id=f"a/{HOSTILE}", fact=HOSTILE, clauses=(HOSTILE,), source={HOSTILE: [HOSTILE, {"x": HOSTILE}]},
                   inputs={HOSTILE: InputRow(dtype=HOSTILE, shape=(1,), values=(HOSTILE,))})
    quantity = QuantityRow(
        step=1, name=HOSTILE, clause=HOSTILE, verdict="differs", dtype=HOSTILE, ratio=HOSTILE, observed=(HOSTILE,),
        expected=(1.0,), variant=HOSTILE, deviation=HOSTILE, open=HOSTILE, explanation=HOSTILE, message=HOSTILE * 500,
        channels=(1.0, HOSTILE), samples=(HOSTILE, 2.0),
    )  # fmt: skip
    cell = CellRow(
        case=case.id, implementation=implementation.id, verdict="differs", explanation=HOSTILE, quantities=(quantity,)
    )
    run = RunRow(
        suite=HOSTILE, started=HOSTILE, machine={HOSTILE: HOSTILE}, cases_digest=HOSTILE, cases=(case,),
        implementations=(implementation,), not_installed={HOSTILE: HOSTILE}, selection=HOSTILE,
        clauses={HOSTILE: {"sentence": HOSTILE, "formula": HOSTILE, "source": HOSTILE}},
        deviations={HOSTILE: DeviationRow(implementation=HOSTILE, versions=HOSTILE, variants=(HOSTILE,), reason=HOSTILE,
                                          proof=HOSTILE, upstream="javascript:window.pwned=1")},
        variants={HOSTILE: HOSTILE}, choices={HOSTILE: ChoiceRow(clause=HOSTILE, options={HOSTILE: HOSTILE})},
    )  # fmt: skip
    return Results(run=run, cells=(cell,), complete=True)


def _cases() -> list[CaseRow]:
    cases = []
    for file, entries in _FILES.items():
        for (name, clause), (dtype, rank) in product(entries, (("float32", 2), ("float32", 4), ("float64", 4))):
            shape = "16x5" if rank == 2 else "4x3x2x7"
            cases.append(
                CaseRow(
                    id=f"{file}/{name}[dtype={dtype},rank={rank}]",
                    fact=_FACTS.get(clause, CLAUSES[clause].sentence.rstrip(".")),
                    clauses=(clause, "1.1") if clause != "1.1" else (clause,),
                    inputs={"x:a": InputRow(dtype=dtype, shape=(16, 5), values=(1.5, -0.25, "nan"))},
                    source={
                        "shape": shape, "dtype": dtype, "momentum": 0.1, "epsilon": 0.001,
                        "x": {"kind": "normal", "offset": 2.0, "scale": 3.0},
                        "steps": [
                            {"train": "a", "name": "first", "gradients": ["x", "gamma", "beta"]},
                            {"evaluate": "b", "observe": ["y", "running_mean", "running_var"]},
                        ],
                    },
                )
            )  # fmt: skip
    return cases


def _cell(case: CaseRow, implementation: str) -> CellRow:
    random_ = random.Random(f"{case.id} {implementation}")  # noqa: S311 - numbers for looking at
    special = _special(case, implementation)
    if special is not None:
        return special
    quantities = tuple(
        _quantity(random_, case, name, verdict, variant)
        for name, verdict, variant in _verdicts(random_, case, implementation)
    )
    verdict = worst([row.verdict for row in quantities])
    told = [row for row in quantities if row.verdict == verdict and row.explanation]
    return CellRow(
        case=case.id, implementation=implementation, verdict=verdict, quantities=quantities,
        explanation=told[0].explanation or "" if told else "", seconds=round(random_.uniform(0.001, 0.2), 4),
    )  # fmt: skip


def _special(case: CaseRow, implementation: str) -> CellRow | None:
    """Return the cells that never came to an array: unsupported, crashed, void, an error raised."""
    if case.id.startswith("running_stats/cumulative") and implementation in (KERAS, FLAX):
        why = "momentum is a number; no cumulative average is offered"
        return CellRow(case=case.id, implementation=implementation, verdict="unsupported", explanation=why)
    if case.id == "layout/strided-input[dtype=float64,rank=4]" and implementation == FLAX:
        why = "the host ended with signal 11 (segmentation fault) after 0.3 s; its last words:\n" + (
            "2026-03-14 15:11:02.114 E external/xla/xla/service/cpu/cpu_executable.cc:312] check failed: " * 6
        )
        return CellRow(case=case.id, implementation=implementation, verdict="crashed", explanation=why, seconds=0.31)
    if case.id == "affine/without-affine[dtype=float32,rank=2]" and implementation == MATLAB:
        return CellRow(
            case=case.id, implementation=implementation, verdict="void",
            explanation="the adapter raised KeyError: 'Offset' in matlab_dlnetwork.py, line 41",
        )  # fmt: skip
    if case.id == "evaluate/one-row[dtype=float32,rank=2]" and implementation == KERAS:
        row = QuantityRow(
            step=1, name="outcome", clause="5.4", verdict="differs", raises="ValueError",
            message="Expected more than 1 value per channel, got input size (1, 5)",
            explanation="raises ValueError where the reference answers; no known variant explains it",
        )  # fmt: skip
        return CellRow(
            case=case.id, implementation=implementation, verdict="differs", explanation=row.explanation or "",
            quantities=(row,),
        )  # fmt: skip
    return None


def _verdicts(random_: random.Random, case: CaseRow, implementation: str) -> list[tuple[str, Verdict, str | None]]:
    """Return name, verdict and variant of each quantity of a cell."""
    clause = case.clauses[0]
    estimator: Verdict = "deviates" if implementation in (KERAS, FLAX) and clause.startswith("3.") else "agrees"
    recorded = implementation == FLAX and clause == "3.1" and "float32" in case.id
    rows: list[tuple[str, Verdict, str | None]] = [
        ("y", "agrees", None),
        ("running_mean", "agrees", None),
        ("running_var", estimator, "one-pass" if recorded else None),
    ]
    if clause.startswith("6"):
        swapped = implementation == FLAX and clause == "6.1" and "float32" in case.id
        rows.append(("dx", "differs" if swapped else "agrees", "statistics-detached-in-gradient" if swapped else None))
        rows.append(("dgamma", "rough" if random_.random() < 0.4 else "agrees", None))
    if clause == "1.3" and implementation == KERAS:
        rows[0] = ("y", "differs", "one-pass-variance" if "float32" in case.id else None)
    if clause == "7.3" and implementation != NUMPY:
        rows.append(("grad_running_mean", "open", None))
    if clause == "3.1" and implementation == MATLAB and "rank=2" in case.id:
        rows[1] = ("running_mean", "changed", "momentum-swapped")
    return rows


_RATIOS: dict[str, tuple[float, float]] = {
    "agrees": (-2.5, -0.1), "rough": (0.1, 1.2), "deviates": (3.0, 6.2), "differs": (1.5, 7.5), "changed": (4.0, 6.0),
}  # fmt: skip
_EXPLANATIONS = {
    "deviates": "as the dialect declares",
    "changed": "declared momentum=new, observed as if momentum weighed the old state",
}


def _quantity(random_: random.Random, case: CaseRow, name: str, verdict: Verdict, variant: str | None) -> QuantityRow:
    dtype = str(case.source["dtype"])
    unit = 2.0**-53 if dtype == "float64" else 2.0**-24
    shape = (4, 3, 2, 7) if name in ("y", "dx") else (5,)
    length = 21 if name in ("y", "dx") else 5
    expected = [random_.gauss(0, 2) for _ in range(length)]
    bound = unit * random_.uniform(4, 60)
    ratio = 10 ** random_.uniform(*_RATIOS[verdict]) if verdict in _RATIOS else None
    at = random_.randrange(length)
    observed: list[Number] = [value + bound * random_.uniform(-0.3, 0.3) for value in expected]
    if ratio is not None:
        observed[at] = expected[at] + bound * ratio
    broken = verdict == "differs" and variant is None
    if broken:
        observed[at] = "nan"
    start = 40 if length == 21 else 0
    flat = start + at
    return QuantityRow(
        step=2 if name.startswith("running") else 1, name=name, clause=case.clauses[0], verdict=verdict, dtype=dtype,
        shape=shape, window=(start, start + length), expected=tuple(expected), observed=tuple(observed),
        ratio="nan" if broken else (0.0 if random_.random() < 0.1 and verdict == "agrees" else ratio),
        bound=bound, plain_bound=bound * 8, error="nan" if broken else (None if ratio is None else bound * ratio),
        max_abs_error="inf" if broken else (None if ratio is None else bound * ratio * 1.2),
        worst_index=None if ratio is None else _unravel(flat, shape),
        declared=tuple(value * 0.95 for value in expected) if verdict == "deviates" else None,
        declared_ratio=0.21 if verdict == "deviates" else None,
        discriminates=verdict != "agrees" or random_.random() < 0.8,
        variant=variant if verdict in ("differs", "changed") else
                "population running variance" if verdict == "deviates" and not variant else None,
        channels=(0.5, 40.0, 3.0) if verdict == "differs" else None,
        deviation="flax one-pass running variance" if verdict == "deviates" and variant else None,
        open="gradient is the leaf's" if verdict == "open" and random_.random() < 0.5 else
             ("gradient is zero" if verdict == "open" else None),
        explanation=_EXPLANATIONS.get(verdict, _differs(variant) if verdict == "differs" else None),
    )  # fmt: skip


def _differs(variant: str | None) -> str:
    return f"matches the variant {variant}" if variant else "no known variant explains it"


def _unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index: list[int] = []
    for length in reversed(shape):
        index.insert(0, flat % length)
        flat //= length
    return tuple(index)
