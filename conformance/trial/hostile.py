"""Hostile input: whatever is read from outside is refused with one clear message, or is what it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from conformance.bundle.layout import BundleError, answers_of, file_name, read_manifest
from conformance.bundle.recorded import Recorded
from conformance.bundle.requests import request_of
from conformance.corpus.case import Case, Step
from conformance.corpus.inputs import generate
from conformance.corpus.load import load_file
from conformance.corpus.shape import parse_shape
from conformance.definition.rules import Rules
from conformance.errors import CaseError, ConformanceError, DeviationError, HostError, ResultsError, UsageError
from conformance.host.answers import Fault, answer_of, observation_of
from conformance.host.configuration import load_hosts, project_hosts
from conformance.host.frames import Frame, decode, encode
from conformance.host.messages import Ran
from conformance.host.observation import Observation
from conformance.results.read import read_results
from conformance.results.summary import render
from conformance.trial.spoil import DEEP, ODD_NUMBERS, TREES, as_json, as_toml, changed, texts, torn
from conformance.verdict.deviations import load_deviations
from conformance.verdict.judge import judge
from conformance.verdict.oracle import Question

__all__ = ["TARGETS", "Target", "attack"]


#: Characters of a message that is still read.
_LONGEST = 5000


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote: what to feed it, and how; it raises only what it documents."""

    feed: st.SearchStrategy[Any]
    read: Callable[[Any, Path], None]


def attack(target: Target, examples: int, folder: Path, start: int = 0) -> int:
    """Feed a target so many inputs, which ``start`` seeds, and return how many it was fed.

    Raises:
        Exception: whatever the target raised beside its own errors, with the smallest input that makes it.
    """
    count = 0

    @seed(start)
    @settings(
        max_examples=examples, phases=(Phase.generate, Phase.shrink), database=None, deadline=None,
        report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(target.feed)
    def fed(what: Any) -> None:
        nonlocal count
        count += 1
        target.read(what, folder)

    fed()
    return count


@contextmanager
def refused(*errors: type[ConformanceError | Fault]) -> Iterator[None]:
    """Let the suite's own errors pass, whose message can be read on a terminal."""
    try:
        yield
    except errors as error:
        said = str(error)
        assert 0 < len(said) <= _LONGEST, f"a message of {len(said)} characters: {said[:200]!r}"
        assert all(line.isprintable() for line in said.splitlines()), f"not printable: {said!r}"


# --- protocol frames, and the answers in them

_ARRAYS: dict[str, Any] = {
    "1:y": np.zeros((4, 3), np.float32), "1:running_mean": np.zeros(3), "n": np.zeros((0, 2), np.int8),
}  # fmt: skip
_ANSWER = {
    "dialect": {"running_variance": "sample", "momentum": "new"}, "unsupported": None, "create": {"raises": None},
    "steps": [{"raises": None}, {"raises": {"type": "ValueError", "message": "no"}}], "seconds": 0.5,
}  # fmt: skip
_ENTRY = {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}
_HEADER = {"__metadata__": {"message": "{}"}, "a": _ENTRY, "b": {**_ENTRY, "data_offsets": [48, 96]}}


def _image(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


_FRAMES = st.one_of(
    st.binary(max_size=64),
    torn(encode(Frame(as_json(_ANSWER), _ARRAYS))),
    st.builds(_image, changed(_HEADER).map(as_json), st.sampled_from([b"", bytes(48), bytes(96), bytes(200)])),
    st.builds(_image, st.builds(lambda deep: b'{"__metadata__":' + deep.encode() + b"}", DEEP), st.just(b"")),
    st.builds(
        lambda shape, dtype: _image(as_json({"__metadata__": {"message": "{}"}, "a": {
            "dtype": dtype, "shape": shape, "data_offsets": [0, 0]}}), b""),
        st.lists(st.one_of(st.just(0), st.just(1), ODD_NUMBERS), max_size=80), st.sampled_from(["F32", "BF16", "?"]),
    ),
)  # fmt: skip


def _read_frame(image: bytes, folder: Path) -> None:  # noqa: ARG001
    with refused(HostError):
        frame = decode(image)
        assert sum(array.nbytes for array in frame.arrays.values()) <= len(image)


_ANSWERS = st.one_of(changed(_ANSWER).map(as_json), TREES.map(as_json), torn(as_json(_ANSWER)), DEEP.map(str.encode))


def _read_answer(message: bytes, folder: Path) -> None:  # noqa: ARG001
    frame = Frame(message, _ARRAYS)
    with refused(HostError, Fault):
        observation_of(*answer_of(frame, Ran), calls=2)


# --- results files

_RESULTS: list[dict[str, Any]] = [
    {"kind": "run", "suite": "0", "started": "now", "machine": {"system": "x"}, "cases_digest": "0",
     "cases": [{"id": "a/b", "fact": "f", "clauses": ["1.1"], "source": {"steps": [{"train": "a"}]}}],
     "implementations": [{"id": "i@1:eager:cpu", "name": "i", "versions": {"i": "1"}}]},
    {"kind": "cell", "case": "a/b", "implementation": "i@1:eager:cpu", "verdict": "differs", "quantities": [
        {"step": 1, "name": "y", "clause": "1.1", "verdict": "differs", "dtype": "float32", "shape": [2, 1],
         "ratio": 3.5, "bound": 1e-7, "error": "nan", "worst_index": [0, 0], "window": [0, 2],
         "expected": [1.0, 2.0], "observed": ["inf", 2.0], "channels": [3.5]}]},
    {"kind": "end", "cells": 1, "seconds": 1.0},
]  # fmt: skip


def _lines(rows: Any) -> bytes:
    return b"".join(as_json(row) + b"\n" for row in rows) if isinstance(rows, list) else as_json(rows)


_FILES = st.one_of(
    changed(_RESULTS).map(_lines), torn(_lines(_RESULTS)), DEEP.map(lambda deep: _lines(_RESULTS) + deep.encode()),
    st.binary(max_size=40),
)


def _read_results(text: bytes, folder: Path) -> None:
    file = folder / "results.jsonl"
    file.write_bytes(text)
    with refused(ResultsError):
        render(read_results(file))


# --- case files and recorded deviations

_CASES = {
    "title": "T",
    "cases": [
        {"name": "one", "fact": "F.", "clauses": ["1.1"], "shape": "4x3", "dtype": "float32", "momentum": 0.1,
         "epsilon": 0.001, "steps": [{"train": "a", "gradients": ["x"], "name": "n"},
                                     {"backward": "n", "gradients": ["x"], "observe": []}],
         "x": {"offset": 1.0, "scale": 2.0}, "inputs": {"a": {"shape": "5x3"}},
         "vary": {"dtype": ["float32", "float64"], "state": {"own": {"state": "own"}}}},
    ],
}  # fmt: skip
_RECORDS = [
    {"name": "r", "implementation": "torch", "cases": ["a/b"], "quantities": ["y"], "variants": ["momentum swapped"],
     "reason": "R.", "proof": "P.", "versions": ">=1"},
]  # fmt: skip
#: Above this many values an input is only large, not hostile: the corpus has such cases.
_SMALL = 10_000


def _read_cases(text: bytes, folder: Path) -> None:
    file = folder / "hostile.yaml"
    file.write_bytes(text)
    with refused(CaseError):
        for case in load_file(file, folder):
            shapes = [parse_shape(case.input(label).shape or case.shape) for one in case.steps for label in one.labels]
            if sum(float(np.prod(np.array(shape, float))) for shape in shapes) * case.repeat < _SMALL:
                generate(case)
                Question(case).predict(Rules())
    assert not (folder / "executed").exists()
    assert not Path("executed").exists()


def _read_records(text: bytes, folder: Path) -> None:
    file = folder / "records.yaml"
    file.write_bytes(text)
    with refused(DeviationError, CaseError):
        load_deviations([file])
    assert not Path("executed").exists()


# --- bundles

_ASKED = Case(
    id="hostile/asked", fact="F.", clauses=("1.1",), shape="4x3",
    steps=(Step(train="a", gradients=("x",)), Step(evaluate="b")),
)  # fmt: skip
_QUESTION = Question(_ASKED)
_WHO = {"implementation": {"name": "a", "versions": {"a": "1"}, "settings": {"b": "c"}}, "abilities": ["hvp"]}
_TOLD = {"dialect": {"momentum": "new"}, "steps": [{"raises": None}, {"raises": None}], "seconds": 0.5}
_GIVEN: dict[str, Any] = {
    "1:y": np.zeros((4, 3), np.float32), "1:dx": np.zeros((4, 3), np.float32), "2:y": np.ones((4, 3), np.float32),
    "1:running_mean": np.zeros(3, np.float32), "2:running_var": np.ones(3, np.float32),
}  # fmt: skip
_MANIFEST = {"bundle": 1, "suite": "0", "cases": [_ASKED.id], "patterns": [], "tags": []}
_SOUND = {
    "manifest.json": as_json(_MANIFEST),
    f"answers/a/{file_name(0)}": encode(Frame(as_json(_WHO), {})),
    f"answers/a/{file_name(1)}": encode(Frame(as_json(_TOLD), _GIVEN, request_of(_ASKED).token)),
}
_ODD_ARRAYS = st.dictionaries(
    st.sampled_from([*_GIVEN, "1:hvp_x", "3:y", "0:outcome", "1:outcome", "y", "1:"]),
    st.sampled_from([*_GIVEN.values(), np.zeros((3, 4)), np.full((4, 3), np.nan, np.float32), np.zeros(0, np.int8)]),
)


def _answered(message: bytes, arrays: dict[str, Any]) -> bytes:
    return encode(Frame(message, arrays, request_of(_ASKED).token))


_BUNDLES = st.one_of(
    st.tuples(st.just("manifest.json"), st.one_of(changed(_MANIFEST).map(as_json), torn(_SOUND["manifest.json"]))),
    st.tuples(st.just(f"answers/a/{file_name(0)}"), changed(_WHO).map(lambda who: encode(Frame(as_json(who), {})))),
    st.tuples(st.just(f"answers/a/{file_name(1)}"), torn(_SOUND[f"answers/a/{file_name(1)}"])),
    st.tuples(st.just(f"answers/a/{file_name(1)}"), st.builds(_answered, changed(_TOLD).map(as_json), st.just(_GIVEN))),
    st.tuples(st.just(f"answers/a/{file_name(1)}"), st.builds(_answered, st.just(as_json(_TOLD)), _ODD_ARRAYS)),
    st.tuples(st.sampled_from(["answers/a/00009.safetensors", "answers/b/x", *_SOUND]), st.binary(max_size=40)),
)


def _read_bundle(what: tuple[str, bytes], folder: Path) -> None:
    bundle, (name, image) = folder / "bundle", what
    for sound in () if bundle.exists() else _SOUND:
        (bundle / sound).parent.mkdir(parents=True, exist_ok=True)
        (bundle / sound).write_bytes(_SOUND[sound])
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(image)
    with refused(BundleError):
        numbers = {case: number for number, case in enumerate(read_manifest(bundle).cases, start=1)}
        for answers in answers_of(bundle):
            with refused(BundleError):
                recorded = Recorded(answers, numbers)
                assert all(map(str.isprintable, recorded.strangers()))
                seen = recorded.observe(_ASKED) if _ASKED.id in numbers else None
                if isinstance(seen, Observation):
                    judge(_QUESTION, seen, explaining=False)
    (bundle / name).unlink()
    if name in _SOUND:
        (bundle / name).write_bytes(_SOUND[name])


# --- configuration files

_HOSTS = {
    "implementations": {
        "mine": {"command": ["./a", "b"], "title": "T", "environment": {"A": 1, "B": "c"}, "directory": "~/d"},
        "other-1.0": {"python": "./p", "adapter": "torch", "start_limit": 2.5},
    },
}  # fmt: skip
_PROJECT = {"tool": {"conformance": _HOSTS, "b": {"c": [1, "d"]}}}


def _read_hosts(text: bytes, folder: Path) -> None:
    file = folder / "hosts.yaml"
    file.write_bytes(text)
    with refused(UsageError):
        load_hosts(file)


def _read_project(text: bytes, folder: Path) -> None:
    (folder / "pyproject.toml").write_bytes(text)
    with refused(UsageError):
        project_hosts(folder)


_PROJECTS = st.one_of(
    changed(_PROJECT).map(as_toml), torn(as_toml(_PROJECT)), st.binary(max_size=40),
    DEEP.map(lambda deep: b"a = " + deep.encode()),
)  # fmt: skip

TARGETS = {
    "protocol frames": Target(_FRAMES, _read_frame),
    "answers of hosts": Target(_ANSWERS, _read_answer),
    "results files": Target(_FILES, _read_results),
    "case files": Target(texts(_CASES), _read_cases),
    "recorded deviations": Target(texts(_RECORDS), _read_records),
    "bundles": Target(_BUNDLES, _read_bundle),
    "configuration in YAML": Target(texts(_HOSTS), _read_hosts),
    "configuration in TOML": Target(_PROJECTS, _read_project),
}

