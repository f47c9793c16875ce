"""Hostile input: whatever is read from outside is refused with one clear message, or is what it should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from conformance.corpus.case import parse_shape
from conformance.corpus.inputs import generate
from conformance.corpus.load import load_file
from conformance.definition.rules import Rules
from conformance.errors import CaseError, DeviationError, HostError, ResultsError
from conformance.host.answers import Fault, answer_of, observation_of
from conformance.host.frames import Frame, decode, encode
from conformance.host.messages import Ran
from conformance.results.read import read_results
from conformance.results.summary import render
from conformance.verdict.deviations import load_deviations
from conformance.verdict.oracle import Question

__all__ = ["TARGETS", "Target", "attack"]


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


# --- odd values, and changes of sound texts

_ODD_NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 10**400, 1e308, -0.0, 0.5, 1e-320]
)
_ODD_TEXT = st.sampled_from(
    ["", "x", "4x3x7", "0x3", "99999999999x3", "9" * 5000, "1x" * 200 + "1", "nan", "inf", "-inf", "NaN", "\x00",
     "../../etc", "a/b[c=d]", "\U0001f600", "\ud7ff", "__metadata__", "!!python/object:os.system", "=", "*", "1.1"]
)  # fmt: skip
_SCALARS = st.one_of(st.none(), st.booleans(), _ODD_NUMBERS, _ODD_TEXT, st.integers(-3, 5))
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("abckindx", max_size=6), inner)),
    max_leaves=12,
)
_DEEP = st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)


@st.composite
def _changed(draw: st.DrawFn, tree: Any) -> Any:
    """Draw the tree with a few of its values replaced, removed, doubled or added to."""
    made = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        spots = list(_spots(made))
        if not spots:
            break
        holder, key = draw(st.sampled_from(spots))
        act = draw(st.sampled_from(("replace", "replace", "remove", "add")))
        with suppress(KeyError, IndexError):  # an earlier change may have taken the spot away
            if act == "replace":
                holder[key] = draw(_TREES)
            elif act == "remove":
                del holder[key]
            elif isinstance(holder, dict):
                holder[draw(_ODD_TEXT)] = draw(_SCALARS)
            else:
                holder.append(draw(_TREES))
    return made


def _spots(tree: Any) -> list[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [spot for key, value in items for spot in ((tree, key), *_spots(value))]


@st.composite
def _torn(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw the bytes with a few cut out, overwritten or put in."""
    made = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(made)))
        stop = min(len(made), start + draw(st.integers(0, 8)))
        made[start:stop] = draw(st.binary(max_size=8))
    return bytes(made)


def _json(tree: Any) -> bytes:
    return json.dumps(tree).encode(errors="surrogatepass")


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
    _torn(encode(Frame(_json(_ANSWER), _ARRAYS))),
    st.builds(_image, _changed(_HEADER).map(_json), st.sampled_from([b"", bytes(48), bytes(96), bytes(200)])),
    st.builds(_image, st.builds(lambda deep: b'{"__metadata__":' + deep.encode() + b"}", _DEEP), st.just(b"")),
    st.builds(
        lambda shape, dtype: _image(_json({"__metadata__": {"message": "{}"}, "a": {
            "dtype": dtype, "shape": shape, "data_offsets": [0, 0]}}), b""),
        st.lists(st.one_of(st.just(0), st.just(1), _ODD_NUMBERS), max_size=80), st.sampled_from(["F32", "BF16", "?"]),
    ),
)  # fmt: skip


def _read_frame(image: bytes, folder: Path) -> None:  # noqa: ARG001
    with suppress(HostError):
        frame = decode(image)
        assert sum(array.nbytes for array in frame.arrays.values()) <= len(image)


_ANSWERS = st.one_of(_changed(_ANSWER).map(_json), _TREES.map(_json), _torn(_json(_ANSWER)), _DEEP.map(str.encode))


def _read_answer(message: bytes, folder: Path) -> None:  # noqa: ARG001
    frame = Frame(message, _ARRAYS)
    with suppress(HostError, Fault):
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
    return b"".join(_json(row) + b"\n" for row in rows) if isinstance(rows, list) else _json(rows)


_FILES = st.one_of(
    _changed(_RESULTS).map(_lines), _torn(_lines(_RESULTS)), _DEEP.map(lambda deep: _lines(_RESULTS) + deep.encode()),
    st.binary(max_size=40),
)


def _read_results(text: bytes, folder: Path) -> None:
    file = folder / "results.jsonl"
    file.write_bytes(text)
    with suppress(ResultsError):
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
_BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{one}, *{one}, *{one}]\n" for one, name in zip("abcdefgh", "bcdefghi", strict=True)
)
_TAGS = "title: !!python/object/apply:os.system ['touch executed']\ncases: []\n"


def _yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode(errors="surrogatepass")


def _texts(tree: Any) -> st.SearchStrategy[bytes]:
    return st.one_of(
        _changed(tree).map(_yaml), _torn(_yaml(tree)), _TREES.map(_yaml), _DEEP.map(str.encode),
        st.sampled_from([_BOMB.encode(), _TAGS.encode(), b"{" * 400, b"- " * 4000, b"? " * 300, b"%YAML 9.9\n---\n"]),
        st.text("ab:-[]{}&*!|>%@\"'#?,\n \t", max_size=60).map(str.encode),
    )  # fmt: skip


#: Above this many values an input is only large, not hostile: the corpus has such cases.
_SMALL = 10_000


def _read_cases(text: bytes, folder: Path) -> None:
    file = folder / "hostile.yaml"
    file.write_bytes(text)
    with suppress(CaseError):
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
    with suppress(DeviationError, CaseError):
        load_deviations([file])
    assert not Path("executed").exists()


TARGETS = {
    "protocol frames": Target(_FRAMES, _read_frame),
    "answers of hosts": Target(_ANSWERS, _read_answer),
    "results files": Target(_FILES, _read_results),
    "case files": Target(_texts(_CASES), _read_cases),
    "recorded deviations": Target(_texts(_RECORDS), _read_records),
}

