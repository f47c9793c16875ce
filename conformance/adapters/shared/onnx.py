"""ONNX' BatchNormalization, whoever evaluates it: one model per mode, the state in its initializers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from conformance.adapters.contract import Array, Defaults, LayerConfig, State
from conformance.corpus.case import Case, Step
from conformance.definition.dialect import Dialect

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DIALECT", "Layer", "Run", "build_model", "defaults", "unsupported"]

#: Evaluates a model on an input, and returns its outputs.
Run: TypeAlias = Callable[[onnx.ModelProto, Array], Sequence[Array]]

#: The operator's text has the population variance, from opset 14 on; its attributes are float32 numbers.
DIALECT = Dialect(running_variance="population", constants="float32", state_dtype="parameters")

_INPUTS = {"gamma": "scale", "beta": "B", "running_mean": "input_mean", "running_var": "input_var"}
_TYPES = {
    "float64": TensorProto.DOUBLE, "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
}  # fmt: skip


def defaults(opset: int) -> Defaults:
    """Read the defaults of the operator's attributes from its schema."""
    schema = onnx.defs.get_schema("BatchNormalization", opset)
    given = {
        name: f"{helper.get_attribute_value(attribute.default_value):g}"
        for name, attribute in schema.attributes.items() if attribute.default_value.name
    }  # fmt: skip
    return Defaults(read_from=f"the schema of BatchNormalization, opset {opset}", arguments=given)


def unsupported(case: Case) -> str | None:
    """Say what a graph of ONNX cannot be asked, whatever the opset."""
    derivatives = (step.gradients or step.differentiates or step.through_update for step in case.steps)
    if any(derivatives):
        return "ONNX has graphs for inference and for the forward of training, no gradients"
    if case.channel_axis == "last" and case.layer.rank > 2:
        return "the channels are the second axis"
    if not case.tracked:
        return "mean and variance are required inputs"
    if case.momentum == "cumulative":
        return "momentum is an attribute, a number"
    return next((_lacks(step) for step in case.steps if _lacks(step)), None)


def _lacks(step: Step) -> str | None:
    if step.exported:
        return "a graph is what others export to"
    if step.masked or step.replicas is not None or step.freeze is not None:
        return "the operator has no masks, no replicas, and nothing to freeze"
    return None


@dataclass(frozen=True)
class Layer:
    """The layer as a model: training overwrites its initializers by its further outputs."""

    config: LayerConfig
    held: dict[str, Array]
    """What is read: after training as the evaluator gave it."""
    opset: int
    run: Run

    @classmethod
    def of(cls, config: LayerConfig, state: State, opset: int, run: Run) -> Self:
        """Start from the state given; scale and offset, which the operator requires, are ones and zeros without one."""
        ones, zeros = np.ones(config.channels, config.param_dtype), np.zeros(config.channels, config.param_dtype)
        held = {"gamma": ones, "beta": zeros}
        if config.tracked:
            held |= {"running_mean": zeros, "running_var": ones}
        return cls(config, held | {name: state[name] for name in held.keys() & state.keys()}, opset, run)

    def forward(self, x: Array, mode: str) -> Forward:
        """Evaluate the model of the mode; in train, keep the statistics that it gives."""
        last = self.config.channel_axis == "last"
        y, *moved = self.run(self.model(mode), np.moveaxis(x, 1, -1) if last else x)
        self.held.update(zip(("running_mean", "running_var"), moved[:2], strict=False))
        return Forward(np.moveaxis(y, -1, 1) if last else y)

    def model(self, mode: str) -> onnx.ModelProto:
        """Return the checked model with its present state."""
        return build_model(self.config, self.held, self.opset, mode)

    def reload(self) -> Layer:
        """Write the model to bytes and take over the initializers of the model read from these."""
        model = onnx.load_from_string(self.model("evaluate").SerializeToString())
        read = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        return replace(self, held={name: read[_INPUTS[name]] for name in self.held})

    def get_state(self) -> Mapping[str, Array]:
        """Return mean and variance."""
        return {name: array for name, array in self.held.items() if name.startswith("running")}

    def set_state(self, state: State) -> None:
        """Overwrite initializers."""
        self.held.update(state)


@dataclass(frozen=True)
class Forward:
    """One evaluation of a model; there is no way back."""

    output: Any

    @cached_property
    def y(self) -> Array:
        """Return the output."""
        return np.asarray(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Raise: ONNX has no gradients."""
        raise NotImplementedError("ONNX has no gradients")


def build_model(config: LayerConfig, held: Mapping[str, Array], opset: int, mode: str) -> onnx.ModelProto:
    """Return the model of one mode, as exporters write it, having checked it.

    Raises:
        onnx.checker.ValidationError: the opset does not admit such a model.
        onnx.shape_inference.InferenceError: its types contradict one another.
    """
    training, shape = mode == "train", [None] * config.rank
    kinds = {"Y": config.dtype}
    if training:
        kinds |= {"running_mean": config.param_dtype, "running_var": config.param_dtype}
        if opset < 14:
            kinds |= {"saved_mean": config.param_dtype, "saved_var": config.param_dtype}
    momentum: Any = config.momentum  # None is left to fail; ONNX' momentum weighs the old state
    mode_of = {"training_mode": int(training)} if opset >= 14 else {}
    node = helper.make_node(
        "BatchNormalization", ["X", *_INPUTS.values()], list(kinds), epsilon=config.epsilon,
        momentum=1 - momentum, **mode_of,
    )  # fmt: skip
    graph = helper.make_graph(
        [node], "batch_norm",
        [helper.make_tensor_value_info("X", _TYPES[config.dtype], shape)],
        [
            helper.make_tensor_value_info(name, _TYPES[dtype], shape if name == "Y" else [config.channels])
            for name, dtype in kinds.items()
        ],
        [
            # In the type that is declared: what an evaluator makes of the statistics, `held` shows.
            numpy_helper.from_array(np.ascontiguousarray(array, config.param_dtype), _INPUTS[name])
            for name, array in held.items()
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
