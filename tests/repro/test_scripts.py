"""``conformance repro``: a script with nothing but the framework and NumPy gives the bits that the host gave."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters import registry
from conformance.adapters.scripts.writer import CannotWrite
from conformance.cli.main import main
from conformance.corpus.case import Case
from conformance.corpus.inputs import generate
from conformance.corpus.load import load_definitions
from conformance.engine.cell import question_of
from conformance.errors import UsageError
from conformance.host.environment import host_environment
from conformance.host.observation import Observation, Raised
from conformance.host.session import HostSession
from conformance.repro.drawn import HELPERS, drawn
from conformance.repro.literals import INLINE, literal, numbers
from conformance.repro.script import script
from conformance.repro.writers import WRITERS, writer_for

#: Every adapter whose calls are written down; a few executions beside the eager ones.
ADAPTERS = [*WRITERS, "torch-func:vmap", "keras-tensorflow:graph", "tensorflow-nn:xla", "flax-linen:jit", "haiku:jit"]
#: One of each kind of step: training with gradients, evaluating, several steps, another rank, another dtype, memory
#: that is not contiguous; a layer saved and loaded, states averaged, a loss, a convergence, whole networks; what is
#: deployed, synchronised, masked, recomputed, frozen, left to the framework; every kind of derivative; large arrays.
CASES = [
    "state_moves/backward-after-both[dtype=float32]",
    "state_moves/backward-after-both[dtype=float64]",
    "running_stats/several-steps[repeat=3,momentum=0.9]",
    "evaluate/running-statistics[shape=4x3x7,dtype=float32]",
    "layout/memory-in-evaluate[memory=strided]",
    "frozen/training[dtype=float32]",
    "gradients_train/alone[gradient=x]",
    "saving/evaluate-after-loading[dtype=float32,shape=5x3]",
    "scenarios/siamese/two-batches[keeps=average,dtype=float32]",
    "scenarios/training-loss/nothing-learnt[momentum=0.1,dtype=float32]",
    "scenarios/convergence/curve[momentum=0.3,dtype=float32]",
    "saving/backward-across[mode=train]",
    "low_precision/training-parameters-of-16-bits[dtype=bfloat16,shape=5x3]",
    "low_precision/state-of-16-bits[dtype=float16,momentum=0.1]",
    "low_precision/memory[dtype=bfloat16,memory=strided,mode=train]",
    "low_precision/evaluate[dtype=float16,shape=5x3]",
    "folding/dense[before=unbiased,shape=5x3,dtype=float32]",
    "folding/convolution[before=biased,shape=5x3x2x4,dtype=float32]",
    "folding/depthwise[shape=5x3x2x4,dtype=float32]",
    "exporting/in-evaluate[shape=5x3,dtype=float32]",
    "exporting/untracked[shape=5x3,dtype=float32]",
    "exporting/in-train[shape=5x3]",
    "replicas/gradients[shape=5x3,dtype=float32]",
    "masks/gradients[shape=4x3x7,dtype=float32]",
    "update_gradient/earlier-batch[shape=5x3,dtype=float32]",
    "gradients_evaluate/statistics[shape=5x3,dtype=float32]",
    "state_moves/recomputed[dtype=float32,repeat=1]",
    "scenarios/gradient-call/mode-left-open[dtype=float32]",
    "higher_order/mixed-train[shape=5x3,epsilon=1e-5,dtype=float32]",
    "higher_order/third-train[shape=3x2,dtype=float32]",
    "higher_order/forward-twice-train[shape=3x2,dtype=float32]",
    "scenarios/networks/outputs[dtype=float32]",
    "scenarios/networks/convergence[dtype=float64]",
    "scenarios/networks/second-derivatives[dtype=float32]",
    "large/count-beyond-float16[dtype=bfloat16]",
]
#: What of it has no plain way of being written for whom; what an adapter declares unsupported is not asked at all.
UNWRITTEN = {
    "the mode has to be chosen": [*WRITERS, *ADAPTERS],
    "a whole network": [*WRITERS, *ADAPTERS],
    "NumPy has no bfloat16": ["numpy"],
    "there is nothing that folds the layer": ["numpy"],
    "of the formulas": ["numpy"],
    "the gradient through the update is not written out": ["numpy"],
    "higher derivatives are not written out": ["numpy"],
}
RUN = """
import contextlib, io, pickle, runpy, sys, warnings
from pathlib import Path
import numpy as np
warnings.simplefilter("ignore")
told = {}
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    said = io.StringIO()
    if haiku := sys.modules.get("haiku"):  # it keeps the policy of one script for the next
        haiku.mixed_precision.clear_policy(haiku.BatchNorm)
    with contextlib.redirect_stdout(said):
        names = runpy.run_path(str(path))
    told[path.stem] = ({k: np.array(v) for k, v in names.items() if isinstance(v, np.ndarray)}, said.getvalue())
Path(sys.argv[1], "told.pickle").write_bytes(pickle.dumps(told))
"""


@pytest.fixture(scope="module")
def corpus() -> dict[str, Case]:
    return {case.id: case for definition in load_definitions() for case in definition.cases}


def written(adapter: str, case: Case, session: HostSession) -> tuple[str, Observation] | None:
    """Return the script and what the host observed; nothing where the case is not for this implementation."""
    seen = session.observe(case)
    assert isinstance(seen, Observation), seen
    if seen.unsupported is not None:
        return None
    question = question_of(case)
    held = frozenset(name for name in question.arrays if ":" not in name)
    try:
        return script(writer_for(adapter, case, held), session.implementation, question, seen), seen
    except (CannotWrite, UsageError) as reason:
        why = str(reason)
    assert any(known in why and adapter in whose for known, whose in UNWRITTEN.items()), f"{case.id}: {why}"
    return None


def outcomes_of(texts: dict[str, str], folder: Path) -> dict[str, tuple[dict[str, np.ndarray], str]]:
    """Run scripts in one process; return the arrays that each leaves in its variables, and what it prints."""
    folder.mkdir()
    for stem, text in texts.items():
        (folder / f"{stem}.py").write_text(text, encoding="utf-8")
    environment = host_environment("cpu", folder, {k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)], env=environment, capture_output=True, text=True, check=False,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, tuple[dict[str, np.ndarray], str]] = pickle.loads((folder / "told.pickle").read_bytes())  # noqa: S301 our own bytes
    return told


@pytest.mark.parametrize("adapter", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ADAPTERS])
def test_script_gives_the_bits_of_the_host(adapter: str, corpus: dict[str, Case], tmp_path: Path) -> None:
    """Every array that the host yielded stands in the script's variables, bit for bit, and is printed."""
    if adapter in (missing := registry.missing()):
        pytest.skip(f"{adapter} is not installed: {missing[adapter]}")
    with HostSession(adapter, time_limit=300) as session:
        pairs = {str(k): written(adapter, corpus[name], session) for k, name in enumerate(CASES) if name in corpus}
    scripts = {stem: pair for stem, pair in pairs.items() if pair is not None}
    assert scripts, "none of the cases is written out"
    told = {}
    # Collective operations of one strategy wait for those of any other in the process: these scripts have one each.
    alone = {stem: {stem: scripts[stem]} for stem in scripts if "tf.distribute" in scripts[stem][0]}
    together = {stem: pair for stem, pair in scripts.items() if stem not in alone}
    for number, some in enumerate((together, *alone.values())):
        told |= outcomes_of({stem: text for stem, (text, _) in some.items()}, tmp_path / str(number))
    for stem, (_, seen) in scripts.items():
        variables, said = told[stem]
        failed = {step for (step, _), outcome in seen.outcomes.items() if isinstance(outcome, Raised)}
        for (step, name), outcome in seen.outcomes.items():
            if isinstance(outcome, Raised):
                assert f"step {step}: raised {outcome.type} - " in said
            elif step not in failed:
                wide = outcome.astype(np.float32) if outcome.dtype.name == "bfloat16" else outcome
                np.testing.assert_array_equal(variables[f"{name}_{step}"], wide, err_msg=f"{CASES[int(stem)]} {name}")
                assert f"step {step}, {name}: " in said


@pytest.mark.parametrize("name", CASES)
def test_the_cases_asked_exist(name: str, corpus: dict[str, Case]) -> None:
    """The cases that the scripts are tried on are in the corpus."""
    assert name in corpus


def test_script_imports_nothing_of_the_suite(corpus: dict[str, Case]) -> None:
    """A script names NumPy and the framework, and says what is expected."""
    case = corpus[CASES[0]]
    with HostSession("numpy", in_process=True) as session:
        pair = written("numpy", case, session)
    assert pair is not None
    imports = [line for line in pair[0].splitlines() if line.startswith(("import ", "from "))]
    assert ["import numpy as np"] == imports
    assert case.fact in pair[0]


def test_the_head_says_how_it_is_run(corpus: dict[str, Case]) -> None:
    """A script that is compiled says so beside the versions; an eager one says nothing."""
    question = question_of(case := corpus[CASES[0]])
    held = frozenset(name for name in question.arrays if ":" not in name)
    with HostSession("numpy", in_process=True) as session:
        who, seen = session.implementation, session.observe(case)
    assert isinstance(seen, Observation)
    heads = [
        script(writer_for("numpy", case, held), replace(who, execution=execution), question, seen).splitlines()[3]
        for execution in ("eager", "compile")
    ]
    assert [f"on numpy (numpy {np.__version__}){end}" for end in (".", ", compile.")] == [
        head.partition(", ")[2] for head in heads
    ]


def test_a_wrong_value_is_told(corpus: dict[str, Case], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A script whose layer is tampered with prints that it differs; untouched it prints that all is fine."""
    with HostSession("numpy", in_process=True) as session:
        pair = written("numpy", corpus[CASES[0]], session)
    assert pair is not None
    spoilt = pair[0].replace("bessel = np.float32(n)", "bessel = np.float32(n + 1)")
    assert spoilt != pair[0]
    for text, verdict in ((pair[0], "fine"), (spoilt, "DIFFERS")):
        path = tmp_path / f"{verdict}.py"
        path.write_text(text, encoding="utf-8")
        subprocess.run([sys.executable, str(path)], check=True)
        said = capfd.readouterr().out
        assert verdict in said
        assert (verdict == "DIFFERS") == ("DIFFERS" in said)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_literals_are_exact(dtype: str, corpus: dict[str, Case]) -> None:
    """An array as text is the same bits when it is read again, special values included."""
    drawn = generate(corpus["state_moves/backward-after-both[dtype=float64]"])["x:a"].astype(dtype)
    drawn = np.concatenate([drawn.reshape(-1), np.array([np.nan, np.inf, -np.inf, 0.1, -0.0, 1e-7], dtype)])
    again = eval(literal(drawn), {"np": np})  # noqa: S307 our own text
    assert drawn.dtype == again.dtype
    assert drawn.tobytes() == again.tobytes()


LARGE = [case for definition in load_definitions() for case in definition.cases if "large" in case.tags]


@pytest.mark.parametrize("case", LARGE, ids=lambda case: str(case.id))
def test_large_arrays_are_drawn(case: Case) -> None:
    """Every array of the corpus that is too large for a literal is drawn, bit for bit, by a few lines."""
    for name, array in generate(case).items():
        if array.size > INLINE:
            lines = drawn(case, name, "here", array)
            assert lines is not None, name
            assert 1 <= len(lines) <= 5
            made: dict[str, object] = {"np": np}
            exec("\n".join([HELPERS, *lines]), made)  # noqa: S102 our own text
            wide = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
            again = made["here"]
            assert isinstance(again, np.ndarray)
            assert (wide.dtype, wide.tobytes()) == (again.dtype, again.tobytes())


def test_what_is_drawn_is_held_against_the_array() -> None:
    """Lines that would make other bits are not given."""
    case = next(case for case in LARGE if case.id == "large/count-beyond-float16[dtype=float16]")
    x = generate(case)["x:a"].copy()
    assert drawn(case, "x:a", "x_a", x) is not None
    x[-1, -1] = np.nextafter(x[-1, -1], np.float16(9))
    assert drawn(case, "x:a", "x_a", x) is None


def test_predictions_keep_twelve_digits() -> None:
    """A predicted value is written to twelve digits, in its shape."""
    value = np.array([[1 / 3, 2e-9]])
    again = eval(numbers(value), {"np": np})  # noqa: S307 our own text
    np.testing.assert_allclose(again, value, rtol=1e-11)
    assert value.shape == again.shape


def test_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    """``conformance repro CASE IMPLEMENTATION`` prints a script and returns 0."""
    assert 0 == main(["repro", CASES[0], "numpy"])
    out = capsys.readouterr().out
    compile(out, "script", "exec")
    assert f"Case {CASES[0]}" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["state_moves/no-such-case", "numpy"], "matches no case"),
        (["state_moves/*", "numpy"], "covers"),
        ([CASES[0], "nothing"], "no adapter is named 'nothing'"),
        ([CASES[0], "troch"], "did you mean torch?"),
        ([CASES[0], "third_party:Sound"], "scripts are of the suite's own adapters"),
        (["folding/one-row[dtype=float32]", "numpy"], "there is nothing that folds the layer"),
    ],
    ids=["unknown", "several", "no-adapter", "mistyped", "no-writer", "not-written"],
)
def test_what_cannot_be_written_is_said(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input exits 2 with a message that says what is the matter."""
    assert 2 == main(["repro", *arguments])
    assert said in capsys.readouterr().err
