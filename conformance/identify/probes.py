"""The few questions from which a dialect is told; each is a case that no file holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from conformance.corpus.case import Case

__all__ = ["EPSILONS", "ESTIMATORS", "FACTS", "OPEN", "PARTICULAR", "PROBES", "elsewhere", "probe"]

_ALL = ["x", "gamma", "beta"]
_STATE = ["running_mean", "running_var"]
#: Large, so that its place shows in float64; with a momentum that is no number of float32.
_LARGE = {"shape": "5x3", "dtype": "float64", "epsilon": 0.3}


#: What is done in each probe.
FACTS = {
    "update": "trained on 1, 3, 5 and then another batch, from the initial state",
    "forward-alone": "trained, no gradient taken, then evaluated",
    "train": "trained twice from a given state, differentiated three times",
    "evaluate": "evaluated, trained, evaluated; the first differentiated before and after",
    "positions": "trained on input with positions",
    "statistics-gradient": "evaluated, and differentiated by the running statistics",
    "update-gradient": "trained, then evaluated; differentiated by the earlier input",
    "recomputation": "trained twice, the second time under checkpointing",
    "frozen": "frozen, then trained and evaluated",
    "untracked": "evaluated without running statistics",
    "cumulative": "trained three times with the cumulative average",
    "own-state": "trained from the state that it makes itself, saved, loaded, evaluated",
    "mask": "trained under a mask",
    "second-order": "second and third derivatives, and forward mode, in train",
    "small-variance": "trained on variances that are a millionth of epsilon",
    "constant": "trained on sixteen channels of one value each, about 1000",
    "offset": "trained on a mean of 300 standard deviations",
    "float16": "float16 input, float32 parameters",
    "state-dtype": "bfloat16 input and parameters",
    "folded": "trained, folded into a dense layer before it, evaluated",
    "exported": "exported in train, the exported model called, the layer evaluated",
    "exported-evaluate": "exported in evaluate, and the exported model called",
    "bfloat16": "bfloat16 input, float32 parameters",
}


def probe(name: str, steps: list[dict[str, Any]], **fields: Any) -> Case:
    """Return the case ``identify/NAME``."""
    fact = FACTS.get(name, "A probe.")
    made = {"id": f"identify/{name}", "fact": fact, "clauses": ("1.1",), "steps": steps, **fields}
    return msgspec.convert(made, Case)


def elsewhere(case: Case) -> Iterator[tuple[Case, str]]:
    """Yield the same question where an implementation may take it that lacks what it needs, and say where.

    Float32 for float64; then rank 4, by dimensions of length one: the number of values per channel stays; then all of
    these with the forwards only, and with those in evaluate only.
    """
    yield from _moved(case, "")
    for part, words in _parts(case):
        yield part, words
        yield from _moved(part, f", {words}")


#: What steps consist of whose gradients, or whose training, may be left out.
_PLAIN = frozenset({"train", "evaluate", "masked", "name", "backward", "gradients"})


def _parts(case: Case) -> Iterator[tuple[Case, str]]:
    """Yield the forwards of a case that has gradients, then those in evaluate if there are others; or nothing."""
    given = msgspec.to_builtins(case)
    steps = [step for step in given["steps"] if "backward" not in step]
    if any(step.keys() - _PLAIN for step in steps):
        return
    bare = [{name: value for name, value in step.items() if name != "gradients"} for step in steps]
    if bare != list(given["steps"]):
        yield msgspec.convert(given | {"steps": bare}, Case), "its forwards only"
    evaluated = [step for step in bare if "evaluate" in step]
    if evaluated and evaluated != bare:
        yield msgspec.convert(given | {"steps": evaluated, "inputs": {}}, Case), "its evaluations only"


def _moved(case: Case, beside: str) -> Iterator[tuple[Case, str]]:
    """Yield a case in float32, at rank 4, and both, as far as that is another one."""
    narrow = {"dtype": "float32"} if case.dtype == "float64" else {}
    wide = {"shape": case.shape + "x1" * (4 - case.layer.rank)} if case.layer.rank < 4 else {}
    both = narrow | wide if narrow and wide else {}
    for changes in filter(None, (narrow, wide, both)):
        words = [{"dtype": "in {}", "shape": "on inputs of shape {}"}[name].format(changes[name]) for name in changes]
        yield msgspec.convert(msgspec.to_builtins(case) | changes, Case), " ".join(words) + beside


#: What the rules are inferred from: every variant of the oracle changes the prediction of one of these.
PROBES: dict[str, Case] = {
    case.id.partition("/")[2]: case
    for case in (
        probe(
            "update", [{"train": "a"}, {"train": "b"}], state="initial", shape="3x1", dtype="float64",
            inputs={"a": {"kind": "values", "values": [1, 3, 5]}},
        ),
        probe("forward-alone", [{"train": "a"}, {"evaluate": "a"}], state="initial", shape="3x2"),
        probe(
            "train",
            [{"train": "a", "name": "first", "gradients": _ALL}, {"train": "b", "name": "second"},
             {"backward": "first", "gradients": _ALL}, {"backward": "first", "gradients": _ALL}],
            momentum=0.6, **_LARGE,
        ),
        probe(
            "evaluate",
            [{"evaluate": "a", "name": "early", "gradients": _ALL}, {"train": "b"},
             {"backward": "early", "gradients": _ALL}, {"evaluate": "a"}],
            **_LARGE,
        ),
        probe("positions", [{"train": "a", "gradients": _ALL}], shape="2x3x4", dtype="float64"),
        probe("statistics-gradient", [{"evaluate": "a", "gradients": _STATE, "observe": []}], **_LARGE),
        probe("update-gradient", [{"through_update": ["a", "b"]}], **_LARGE),
        probe("recomputation", [{"train": "b"}, {"train": "a", "recompute": True, "gradients": _ALL}], **_LARGE),
        probe("frozen", [{"freeze": True, "observe": []}, {"train": "a"}, {"evaluate": "a"}], **_LARGE),
        probe("untracked", [{"evaluate": "a", "observe": ["y"]}], tracked=False, **_LARGE),
        probe("cumulative", [{"train": "a"}, {"train": "b"}, {"train": "c"}], momentum="cumulative", **_LARGE),
        probe(
            "own-state", [{"train": "a"}, {"reload": True}, {"evaluate": "a"}], state="own", **_LARGE,
        ),
        probe("folded", [{"train": "b", "observe": []}, {"evaluate": "a", "folded": "biased"}], **_LARGE),
        probe(
            "exported", [{"train": "a", "exported": True, "observe": ["y"]}, {"evaluate": "a", "observe": ["y"]}],
            shape="5x3",
        ),
        probe("exported-evaluate", [{"evaluate": "a", "exported": True, "observe": ["y"]}], **_LARGE),
        probe("mask", [{"train": "a", "masked": True, "gradients": _ALL}], shape="4x3x7", dtype="float64"),
        probe(
            "second-order",
            [{"train": "a", "hvp": ["x", "gamma"]}, {"train": "a", "third": True}, {"train": "a", "jvp": [1, 2]}],
            shape="5x3", dtype="float64",
        ),
        probe("offset", [{"train": "a", "gradients": ["x"]}], shape="64x2", x={"offset": 300}, momentum=0.5),
        probe(
            "constant", [{"train": "a", "observe": ["y"]}], shape="7x16", x={"kind": "constant", "offset": 1000},
            epsilon=1e-5,
        ),
        probe(
            "small-variance", [{"train": "a", "gradients": ["x"]}], shape="5x3", x={"scale": 1e-3}, momentum=1,
            epsilon=1,
        ),
        probe("float16", [{"train": "a", "gradients": _ALL}, {"evaluate": "a"}], shape="5x3", dtype="float16"),
        probe(
            "state-dtype", [{"train": "a", "gradients": _ALL}], shape="5x3", dtype="bfloat16", param_dtype="bfloat16",
        ),
        probe("bfloat16", [{"train": "a", "gradients": _ALL}, {"evaluate": "a"}], shape="5x3", dtype="bfloat16"),
    )
}  # fmt: skip

#: Probes of particular places, in which an implementation may do what it does nowhere else.
PARTICULAR = frozenset(
    {"own-state", "mask", "second-order", "folded", "exported-evaluate", "float16", "state-dtype", "bfloat16"}
)

#: Where the estimator of the running variance is asked for, by rank and dtype: so few values that it shows.
ESTIMATORS: dict[tuple[int, str], Case] = {
    (len(shape.split("x")), dtype): probe(
        f"estimator-{shape}-{dtype}", [{"train": "a", "observe": ["running_var"]}], shape=shape, dtype=dtype,
        state="initial",
    )
    for shape in ("3x2", "2x3x2", "2x3x2x1", "2x3x1x2x1")
    for dtype in ("float32", "float64", "float16", "bfloat16")
}  # fmt: skip

#: Where a small epsilon shows: variances of the order of 1e-12, in float64 and in float32.
EPSILONS: dict[tuple[float, str], Case] = {
    (epsilon, dtype): probe(
        f"epsilon-{epsilon:g}-{dtype}", [{"train": "a", "observe": ["y"]}], shape="5x3", epsilon=epsilon, dtype=dtype,
        x={"scale": 1e-6}, state="initial",
    )
    for epsilon in (1e-3, 1e-5, 1e-7, 1e-10, 1e-12)
    for dtype in ("float32", "float64")
}  # fmt: skip

#: What the definition leaves open: shown as it is observed.
OPEN: dict[str, Case] = {
    "one value per channel": probe(
        "one-value", [{"train": "a", "gradients": ["x"]}], shape="1x3", open=True, clauses=("15.1",)
    ),
    "empty batch": probe("empty", [{"train": "a"}], shape="0x3", open=True, clauses=("15.2",)),
}
