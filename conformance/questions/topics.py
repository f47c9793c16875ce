"""The topics: a question, a short answer, and the cases whose numbers show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from conformance.corpus.case import Case

__all__ = ["TOPICS", "Shown", "Topic"]


@dataclass(frozen=True)
class Shown:
    """One number: what it is, from which step and quantity, and how an array becomes one number.

    ``reduced`` is ``first`` (element), ``largest`` (absolute value), ``sum`` or ``apart``: the largest distance to
    the same quantity of step ``other``.
    """

    said: str
    step: int
    quantity: str
    reduced: str = "first"
    other: int = 0


@dataclass(frozen=True)
class Topic:
    """A question with its answer. ``dialects`` are the options that the oracle is asked under, by their names here.

    An ``epsilon`` among them is another one than the case's.

    ``pattern`` names cases of the corpus that ask the same of every implementation.
    """

    name: str
    question: str
    answer: str
    case: Case
    shown: tuple[Shown, ...]
    dialects: dict[str, dict[str, str]] = field(default_factory=lambda: {"oracle": {}})
    pattern: str = ""


def _case(steps: list[dict[str, Any]], **fields: Any) -> Case:
    made = {"id": "question/asked", "fact": "A question.", "clauses": ("1.1",), "steps": steps, **fields}
    return msgspec.convert(made, Case)


_135 = {"kind": "values", "values": [1, 3, 5]}
_ESTIMATORS = {"sample": {"running_variance": "sample"}, "population": {"running_variance": "population"}}
_RECOMPUTED = {"moves once": {"recomputation": "once"}, "moves again": {"recomputation": "again"}}
_FROZEN = {"class A": {"frozen": "A"}, "class B": {"frozen": "B"}, "class C": {"frozen": "C"}}

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(
            "estimator", "Is the running variance the sample or the population variance?",
            "Training normalises with the population variance everywhere. What is blended into the running variance "
            "differs: PyTorch and the paper take the sample variance, n / (n - 1) times as large; Keras, Flax and ONNX "
            "the population variance. With n values per channel the two differ by 1 / (n - 1) of the variance.",
            _case([{"train": "a"}], shape="3x1", x=_135, state="initial", dtype="float64"),
            (Shown("running variance after one batch of 1, 3, 5 (from 1, momentum 0.1)", 1, "running_var"),),
            _ESTIMATORS, "running_stats/probe",
        ),
        Topic(
            "how-often", "How often does the state move: checkpointing, accumulation, shared layers, extra forwards?",
            "Once for each training forward, whatever becomes of its output: accumulating gradients over two batches, "
            "a layer that is shared by two branches and a forward whose output is thrown away all move it twice. "
            "Checkpointing does the forward again in the backward; whether that moves the state again is the "
            "implementation's choice.",
            _case(
                [{"train": "a"}, {"train": "a"}, {"train": "a", "recompute": True, "gradients": ["x"]}],
                shape="3x1", x=_135, state="initial", dtype="float64",
            ),
            (
                Shown("running mean after one forward (batch mean 3, momentum 0.1)", 1, "running_mean"),
                Shown("after the same forward once more", 2, "running_mean"),
                Shown("after a third one under checkpointing, with its backward", 3, "running_mean"),
            ),
            _RECOMPUTED, "state_moves/*",
        ),
        Topic(
            "train-evaluate", "Why do training and evaluating differ on the same data?",
            "They normalise with other numbers: training with the statistics of the batch, evaluating with the running "
            "ones, of which one step at momentum 0.1 has taken in a tenth of the batch. On one batch they come "
            "together by a factor of 1 - momentum a step, down to a floor that the factor n / (n - 1) leaves; their "
            "gradients never do.",
            _case(
                [{"train": "a", "gradients": ["x"]}, {"evaluate": "a", "gradients": ["x"]}], shape="5x3",
                state="initial", dtype="float64",
            ),
            (
                Shown("largest distance of the two outputs after one step", 2, "y", "apart", 1),
                Shown("largest distance of the two gradients", 2, "dx", "apart", 1),
            ),
            _ESTIMATORS, "scenarios/convergence/*",
        ),
        Topic(
            "never-moves", "Why do my statistics never move?",
            "Because no training forward has been kept: the layer was in evaluate, was frozen, or the new state was "
            "returned and dropped (MATLAB's forward, Flax' mutable collections, Haiku's state, update operations that "
            "were not run). Evaluating leaves mean 0 and variance 1 where they are, bit for bit.",
            _case(
                [{"evaluate": "a"}, {"evaluate": "a"}, {"train": "a"}], shape="3x1", x=_135, state="initial",
                dtype="float64",
            ),
            (
                Shown("running mean after evaluating twice", 2, "running_mean"),
                Shown("running mean after one training forward", 3, "running_mean"),
            ),
            pattern="scenarios/state-not-assigned/*",
        ),
        Topic(
            "momentum", "How do I convert the momentum?",
            "One minus it. In PyTorch, MLX, tinygrad and MATLAB the number weighs the new batch (default 0.1); in "
            "Keras, Flax, Haiku, Equinox, Paddle and ONNX it weighs the old state (0.99 or 0.9). After one step from "
            "0 the running mean over the batch mean is the weight of the batch: that tells which it is. "
            "`conformance convert FROM TO` writes it out.",
            _case([{"train": "a"}], shape="3x1", x=_135, state="initial", dtype="float64", momentum=0.1),
            (Shown("running mean after one batch of mean 3, momentum 0.1", 1, "running_mean"),),
            {"weighs the new": {"momentum": "new"}, "weighs the old": {"momentum": "old"}},
            "scenarios/momentum-convention/*",
        ),
        Topic(
            "same-tensors", "Why do the same four tensors give other outputs in another framework?",
            "Gamma, beta, running mean and running variance do not make the layer: epsilon does too, and its default "
            "differs (PyTorch and Flax 1e-5, Keras 1e-3). Where the variance is about as small as epsilon the outputs "
            "are different ones. Give epsilon by hand on both sides.",
            _case([{"evaluate": "a"}], shape="5x3", x={"scale": 0.03}, dtype="float64", epsilon=1e-3),
            (Shown("first output at epsilon 1e-3, standard deviation 0.03", 1, "y"),),
            {"epsilon 1e-3": {}, "epsilon 1e-5": {"epsilon": "1e-5"}}, "evaluate/epsilon",
        ),
        Topic(
            "freezing", "How do I really freeze it?",
            "Look at three things: which statistics a frozen layer normalises with in train, whether its state moves, "
            "and whether its parameters do. Class A stops only the parameters (requires_grad_(False) in PyTorch); B "
            "also leaves the state (Keras before 2.1.3 and version 1); C evaluates whatever the mode (trainable=False "
            "in Keras today). Of A and B training and evaluating still differ. To be sure, call the layer in evaluate.",
            _case(
                [{"freeze": True, "observe": []}, {"train": "a"}, {"evaluate": "a"}], shape="5x3", dtype="float64",
                state="initial",
            ),
            (
                Shown("running mean after a frozen training forward (from 0)", 2, "running_mean"),
                Shown("largest distance of training and evaluate output", 3, "y", "apart", 2),
            ),
            _FROZEN, "scenarios/frozen-backbone/*",
        ),
        Topic(
            "batch-of-one", "What does a batch of one do?",
            "With one value per channel the variance is 0, the output is beta whatever the input, and the gradient of "
            "the input is 0; the sample variance would divide by 0. PyTorch refuses it, others do not. A batch of one "
            "image is no batch of one: the positions count. Evaluating one row is as right as evaluating many.",
            _case(
                [
                    {"train": "a", "gradients": ["x"], "observe": ["y"]},
                    {"train": "one", "gradients": ["x"], "observe": ["y"]},
                ],
                shape="1x3x4x5", dtype="float64", beta="zeros", inputs={"one": {"shape": "1x3x1x1"}},
            ),
            (
                Shown("largest output (beta 0) of one row with 4 x 5 positions", 1, "y", "largest"),
                Shown("largest gradient of its input", 1, "dx", "largest"),
                Shown("largest output (beta 0) of one row with one position", 2, "y", "largest"),
                Shown("largest gradient of its input, a single value per channel", 2, "dx", "largest"),
            ),
            pattern="degenerate/one-value-per-channel",
        ),
        Topic(
            "padding", "What do padding and masks do to the statistics?",
            "Padding counts like data: zeros draw the mean to zero and change the variance, unless the layer takes a "
            "mask and is given one (Keras, Flax). All positions are normalised, the masked ones too; only the "
            "statistics leave them out.",
            _case(
                [{"train": "a", "observe": ["running_mean"]}, {"train": "padded", "observe": ["running_mean"]}],
                shape="4x1", state="initial", dtype="float64", momentum=1,
                inputs={
                    "a": {"kind": "values", "values": [1, 3, 5, 7]},
                    "padded": {"kind": "values", "values": [1, 3, 5, 7, 0, 0, 0, 0], "shape": "8x1"},
                },
            ),
            (
                Shown("mean of 1, 3, 5, 7", 1, "running_mean"),
                Shown("with four zeros behind them", 2, "running_mean"),
            ),
            pattern="masks/*",
        ),
        Topic(
            "axis", "Which axis are the channels?",
            "The one that keeps its own statistics: the second in PyTorch (NCHW), the last in Keras, Flax and MLX "
            "(NHWC); all the others are averaged over. A layer built for the wrong one still runs where the lengths "
            "agree. Look at the length of the running mean: it is the number of channels.",
            _case(
                [{"train": "a", "observe": ["running_mean"]}], shape="2x2x2", state="initial", dtype="float64",
                momentum=1, x={"kind": "values", "values": [1, 2, 30, 40, 5, 6, 70, 80]},
            ),
            (Shown("mean of the first channel of [[1 2] [30 40]], [[5 6] [70 80]]", 1, "running_mean"),),
            pattern="layout/*",
        ),
        Topic(
            "exported", "What if it was exported in training mode?",
            "Then what is served normalises with the statistics of whatever it is given: a row's output depends on "
            "the other rows, and a batch of one gives beta. Call eval() before exporting, and look at training_mode in "
            "the ONNX graph. The test: evaluate a row alone and among others; the outputs must be the same.",
            _case(
                [{"train": "a", "observe": ["y"]}, {"evaluate": "a", "observe": ["y"]}], shape="5x3", dtype="float64"
            ),
            (
                Shown("first output in training mode", 1, "y"),
                Shown("first output in evaluate", 2, "y"),
            ),
            pattern="saving/*",
        ),
        Topic(
            "gradient-check", "Why is the gradient zero when I check it with sum()?",
            "Because it is: the normalised values of a channel sum to zero whatever the input, so sum(y) = n beta does "
            "not depend on x in train. Weigh the outputs with random numbers instead. In evaluate the same sum has the "
            "gradient gamma / sqrt(running_var + epsilon).",
            _case(
                [
                    {"train": "a", "gradients": ["x"], "dy": "ones", "observe": []},
                    {"train": "a", "gradients": ["x"], "observe": []},
                    {"evaluate": "a", "gradients": ["x"], "dy": "ones", "observe": []},
                ],
                shape="5x3", dtype="float64",
            ),
            (
                Shown("largest dx of sum(y) in train", 1, "dx", "largest"),
                Shown("largest dx of sum(y * dy), dy random, in train", 2, "dx", "largest"),
                Shown("largest dx of sum(y) in evaluate", 3, "dx", "largest"),
            ),
            pattern="gradients_train/*",
        ),
    )
}  # fmt: skip
