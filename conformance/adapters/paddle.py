"""PaddlePaddle: ``paddle.nn.BatchNorm1D``, ``2D`` and ``3D``, eager."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on its way in it tells of programs that it could not find
    import paddle

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case, Network, Step
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

_MODULES = {2: "BatchNorm1D", 3: "BatchNorm1D", 4: "BatchNorm2D", 5: "BatchNorm3D"}
_SECOND = {2: "NC", 3: "NCL", 4: "NCHW", 5: "NCDHW"}
_LAST = {2: "NC", 3: "NLC", 4: "NHWC", 5: "NDHWC"}
_NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "_mean", "running_var": "_variance"}


class Adapter(BaseAdapter):
    """One module per layer; gradients by ``paddle.grad``, so that nothing accumulates."""

    def __init__(self) -> None:
        paddle.set_device("cpu")

    def describe(self) -> Implementation:
        """Name PaddlePaddle and its version."""
        return Implementation(
            name="paddle", versions={"paddlepaddle": paddle.__version__},
            documentation="https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/BatchNorm2D_en.html",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(paddle.nn.BatchNorm2D, "paddle.nn.BatchNorm2D")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance, and constants that the operator takes as float32."""
        return Dialect(
            running_variance="population", constants="float32", update_gradient="detached", frozen="A",
            recomputation="again", state_dtype="parameters", exported="running",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the module has no argument for, or the processor no kernel."""
        if case.momentum == "cumulative":
            return "nn.BatchNorm*D have no cumulative average: momentum is a number"
        if case.dtype in ("float16", "bfloat16"):
            return "batch_norm has no CPU kernel for 16-bit input"
        if not case.tracked and any(step.mode == "evaluate" for step in case.steps):
            return "nn.BatchNorm*D always keep running statistics"
        if any(step.masked or step.replicas is not None for step in case.steps):
            return "nn.BatchNorm*D have no masks; nn.SyncBatchNorm synchronises accelerators"
        if any(_beyond_the_second(step) for step in case.steps):
            return "Paddle has second derivatives in x of training only, no third ones and no forward mode"
        return _cannot_fold(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module, and overwrite its parameters and buffers."""
        return _Layer(layer, state)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> _Network:
        """Build the modules of the stack, and overwrite their parameters and buffers."""
        return _Network(layer, network, arrays)


def _cannot_fold(case: Case) -> str | None:
    if not any(step.folded for step in case.steps):
        return None
    if case.layer.rank not in (2, 4):
        return "Paddle folds nn.BatchNorm1D into nn.Linear and nn.BatchNorm2D into nn.Conv2D"
    if case.layer.rank == 2 and "none" in (case.gamma, case.beta):
        return "fuse_layers multiplies an nn.Linear by gamma and adds beta, and fails where there is none"
    return None


def _beyond_the_second(step: Step) -> bool:
    return bool(step.jvp or step.third or (step.hvp and (step.mode == "evaluate" or "x" not in step.hvp)))


class _Layer:
    def __init__(self, config: LayerConfig, state: State) -> None:
        self.config, self.last = config, config.channel_axis == "last"
        paddle.set_default_dtype(config.param_dtype)
        self.module: Any = getattr(paddle.nn, _MODULES[config.rank])(
            # Paddle's momentum weighs the old state; without one it is left to Paddle to refuse.
            config.channels, momentum=None if config.momentum is None else 1 - config.momentum,
            epsilon=config.epsilon, weight_attr=None if config.gamma else False,
            bias_attr=None if config.beta else False, data_format=(_LAST if self.last else _SECOND)[config.rank],
        )  # fmt: skip
        self.set_state(state)

    def forward(self, x: Array, mode: str) -> _Forward:
        """Call the module; in train it moves its buffers."""
        leaf = self.leaf(x)
        return _Forward(self, leaf, self.call(leaf, mode))

    def forward_recomputed(self, x: Array) -> _Forward:
        """Call the module in train under ``fleet``'s recompute."""
        from paddle.distributed.fleet.utils import recompute  # noqa: PLC0415  (it imports all that is distributed)

        leaf = self.leaf(x)
        return _Forward(self, leaf, recompute(self.module.train() or self.module, leaf))

    def call(self, x: Any, mode: str) -> Any:
        """Set the mode and call the module."""
        (self.module.train if mode == "train" else self.module.eval)()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns in each training call that it keeps statistics
            return self.module(x)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""
        first, second = self.leaf(earlier), self.leaf(later)
        self.call(first, "train")
        y = self.call(second, "evaluate")
        (gradient,) = paddle.grad(y, first, self.tensor(dy), allow_unused=True)
        return self.array(paddle.zeros_like(first) if gradient is None else gradient)

    def hvp(self, x: Array, mode: str, dy: Array, directions: Mapping[str, Array]) -> dict[str, Array]:
        """Differentiate the gradients, multiplied by the directions: the Hessian is symmetric."""
        known = {"x": self.leaf(x), "dy": self.leaf(dy), "gamma": getattr(self.module, "weight", None)}
        variables = [known[name] for name in directions]
        vectors = [self.tensor(one) if one.ndim > 1 else paddle.to_tensor(one) for one in directions.values()]
        total = (self.call(known["x"], mode) * known["dy"]).sum()
        # Paddle has the gradient of gamma where it is asked for that of beta, too.
        beside = [] if (beta := getattr(self.module, "bias", None)) is None else [beta]
        first = paddle.grad(total, [*variables, *beside], create_graph=True)[: len(variables)]
        second = paddle.grad(first, [*variables, *beside], vectors, allow_unused=True)
        found = zip(directions, second, strict=False)
        return {name: one.numpy() if name == "gamma" else self.array(one) for name, one in found if one is not None}

    def third(self, x: Array, mode: str, dy: Array, direction: Array) -> Array:
        """Differentiate the gradient twice, multiplied by the direction each time."""
        leaf, v = self.leaf(x), self.tensor(direction)
        found = self.call(leaf, mode)
        for vector in (self.tensor(dy), v, v):
            (found,) = paddle.grad(found, leaf, vector, create_graph=True)
        return self.array(found)

    def fold(self, x: Array, kernel: Array, bias: Array | None) -> Array:
        """Fold the module by ``fuse_layers``, which Paddle's quantisation uses, and call what that returns."""
        from paddle.quantization.imperative.fuse_utils import fuse_layers  # noqa: PLC0415  (what few import)

        units, features, *extents = kernel.shape
        if extents:
            groups, bias_attr = x.shape[1] // features, None if bias is not None else False
            before = paddle.nn.Conv2D(x.shape[1], units, 3, padding=1, groups=groups, bias_attr=bias_attr)
        else:
            before = paddle.nn.Linear(features, units, bias_attr=None if bias is not None else False)
        before.weight.set_value(kernel if extents else np.ascontiguousarray(kernel.T))
        if bias is not None:
            before.bias.set_value(bias)
        model = paddle.nn.Sequential(before, self.module)
        model.eval()
        output = fuse_layers(model, [["0", "1"]])(self.tensor(x))
        return self.array(output)

    def export(self, x: Array, mode: str) -> Array:
        """Save the module, put in that mode, by ``paddle.jit.save``, and call what is loaded."""
        given = self.tensor(x)
        (self.module.train if mode == "train" else self.module.eval)()
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "layer")
            paddle.jit.save(self.module, file, input_spec=[paddle.static.InputSpec(given.shape, given.dtype)])
            return self.array(paddle.jit.load(file)(given))

    def freeze(self) -> None:
        """Stop the gradients of the parameters."""
        self._train_parameters(wanted=False)

    def thaw(self) -> None:
        """Let them have gradients again."""
        self._train_parameters(wanted=True)

    def _train_parameters(self, *, wanted: bool) -> None:
        for parameter in (self.module.weight, self.module.bias):
            if parameter is not None:
                parameter.stop_gradient = not wanted

    def reload(self) -> _Layer:
        """Save the state dict to a file and load it into a new module."""
        fresh = _Layer(self.config, {})
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "layer.pdparams")
            paddle.save(self.module.state_dict(), file)
            fresh.module.set_state_dict(paddle.load(file))
        return fresh

    def get_state(self) -> State:
        """Return the two buffers."""
        return {name: getattr(self.module, _NAMES[name]).numpy() for name in ("running_mean", "running_var")}

    def set_state(self, state: State) -> None:
        """Overwrite parameters and buffers."""
        for name, array in state.items():
            held = getattr(self.module, _NAMES[name])
            if held is not None:
                held.set_value(array)

    def tensor(self, x: Array) -> Any:
        """Return the array, its channels moved to where the case wants them."""
        return paddle.to_tensor(np.ascontiguousarray(np.moveaxis(x, 1, -1) if self.last else x))

    def leaf(self, x: Array) -> Any:
        """Return the array as a tensor that asks for its gradient."""
        tensor = self.tensor(x)
        tensor.stop_gradient = False
        return tensor

    def array(self, tensor: Any) -> Array:
        """Return the tensor in canonical layout."""
        array: Array = tensor.numpy()
        return np.moveaxis(array, -1, 1) if self.last else array


class _Network(_Layer):
    """A ``Sequential``; the state is that of its batch norms, joined."""

    def __init__(self, config: LayerConfig, network: Network, arrays: State) -> None:
        self.config, self.last = config, False
        parts = {name: np.split(arrays[name], network.blocks) for name in _NAMES if name in arrays}
        norms = [_Layer(config, {name: part[k] for name, part in parts.items()}) for k in range(network.blocks)]
        self.norms = [norm.module for norm in norms]
        paddle.set_default_dtype(config.param_dtype)
        layers: list[Any] = []
        for k in range(1, network.blocks + 2):
            kernel = arrays[f"kernel_{k}"]
            dense = paddle.nn.Linear(kernel.shape[1], kernel.shape[0])
            dense.weight.set_value(np.ascontiguousarray(kernel.T))
            dense.bias.set_value(arrays[f"bias_{k}"])
            layers += [dense, *((self.norms[k - 1], paddle.nn.GELU()) if k <= network.blocks else ())]
        self.module = paddle.nn.Sequential(*layers)

    def get_state(self) -> State:
        """Return the buffers of all batch norms, joined."""
        return {
            name: np.concatenate([getattr(norm, _NAMES[name]).numpy() for norm in self.norms])
            for name in ("running_mean", "running_var")
        }

    def set_state(self, state: State) -> None:
        """Overwrite the buffers of every batch norm."""
        for name, joined in state.items():
            for norm, part in zip(self.norms, np.split(np.asarray(joined), len(self.norms)), strict=True):
                getattr(norm, _NAMES[name]).set_value(part)


@dataclass(frozen=True)
class _Forward:
    """One call, with its graph."""

    layer: _Layer
    x: Any
    output: Any

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> dict[str, Array]:
        """Differentiate the graph, which is kept for another time."""
        known = {name: self.x if name == "x" else getattr(self.layer.module, _NAMES[name]) for name in wrt}
        found = paddle.grad(self.output, [known[name] for name in wrt], self.layer.tensor(dy), retain_graph=True)
        pairs = zip(wrt, found, strict=True)
        # None is what an optimiser passes over: a gradient of zero.
        given = {name: paddle.zeros_like(known[name]) if one is None else one for name, one in pairs}
        return {name: self.layer.array(one) if name == "x" else one.numpy() for name, one in given.items()}
