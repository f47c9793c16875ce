"""Apache MXNet 1.9: ``mxnet.gluon.nn.BatchNorm`` on the processor; the gradient context chooses the mode."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import mxnet as mx
import numpy as np
from mxnet import autograd, nd
from mxnet.gluon import SymbolBlock, nn
from mxnet.gluon.contrib.nn import SyncBatchNorm

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Array, Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared.signature import defaults_of
from conformance.corpus.case import Case
from conformance.definition.dialect import Dialect

__all__ = ["Adapter", "Graph"]

_STATE = ("running_mean", "running_var")
_BFLOAT16 = np.dtype([("bfloat16", np.uint16)])  # MXNet's name for it in NumPy


class Adapter(BaseAdapter):
    """One block per layer; gradients by ``autograd.grad``, so that nothing accumulates."""

    execution = "eager"

    def describe(self) -> Implementation:
        """Name MXNet and NumPy with their versions: MXNet takes from NumPy what later ones have removed."""
        return Implementation(
            name="mxnet", versions={"mxnet": mx.__version__, "numpy": np.__version__}, execution=self.execution,
            documentation="https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/gluon/nn/index.html#mxnet.gluon.nn.BatchNorm",
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(nn.BatchNorm, "mxnet.gluon.nn.BatchNorm")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare the population variance and a momentum that the operator keeps in float32.

        Freezing is ``grad_req`` set to ``null``, which statistics and state take no notice of.
        """
        return Dialect(
            running_variance="population", constants="float32 old", statistics_gradient="refused",
            update_gradient="detached", frozen="A", exported="running",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse what the block has no argument for."""
        dtype, param_dtype, steps = case.layer.dtype, case.layer.param_dtype, case.steps
        wide = "float32" if dtype in ("float16", "bfloat16") else dtype
        replicas = [step.replicas for step in steps if step.replicas is not None]
        lacking = {
            "gluon's BatchNorm has no cumulative average: momentum is a number": case.momentum == "cumulative",
            f"BatchNorm of {dtype} input wants parameters of {wide}": param_dtype != wide,
            "gluon's BatchNorm always keeps running statistics":
                not case.tracked and any(step.evaluate is not None for step in steps),
            "gluon's BatchNorm takes no mask": any(step.masked for step in steps),
            "contrib's SyncBatchNorm knows float32 only": replicas and dtype != "float32",
            "contrib's SyncBatchNorm averages the means of its replicas, which are of one size":
                len({case.input(label).shape for labels in replicas for label in labels}) > 1,
            "BatchNorm counts no channels: with more of them it reads beyond its parameters":
                any(step.rejected for step in steps),
            "gluon has no checkpointing": any(step.recompute for step in steps),
            "the gradient of BatchNorm has no gradient, and MXNet no forward mode":
                any(step.differentiates for step in steps),
        }  # fmt: skip
        return next((why for why, lacks in lacking.items() if lacks), None)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the block, and overwrite its parameters."""
        return _Layer(layer, state, self.execution)


class Graph(Adapter):
    """The same block hybridised: its calls run as a graph that MXNet keeps."""

    execution = "graph"


class _Layer:
    def __init__(self, config: LayerConfig, state: State, execution: str) -> None:
        self.config, self.last, self.execution = config, config.channel_axis == "last", execution
        self.block = nn.BatchNorm(
            axis=-1 if self.last else 1,
            momentum=None if config.momentum is None else 1 - config.momentum,  # weighs the old state
            epsilon=config.epsilon, scale=config.gamma, center=config.beta, in_channels=config.channels,
        )  # fmt: skip
        self.block.cast(config.param_dtype)
        self.block.initialize()
        if execution == "graph":
            self.block.hybridize()
        self.set_state(state)

    def forward(self, x: Array, mode: str) -> _Forward:
        """Call the block where gradients are recorded, the mode that of the record."""
        leaf = self.leaf(x)
        with autograd.record(train_mode=mode == "train"):
            output = self.block(leaf)
        return self.finished(leaf, output, mode)

    def forward_automatic(self, x: Array, differentiated: bool) -> _Forward:  # noqa: FBT001  (the contract's)
        """Call the block, as users do: where a gradient is taken inside of a record, which trains."""
        if differentiated:
            return self.forward(x, "train")
        leaf = self.leaf(x)
        return self.finished(leaf, self.block(leaf), "evaluate")

    def finished(self, leaf: Any, output: Any, mode: str) -> _Forward:
        """Wait for the call, whose errors come when it is waited for."""
        output.wait_to_read()
        return _Forward(self, mode, leaf, output)

    def through_update(self, earlier: Array, later: Array, dy: Array) -> Array:
        """Differentiate an evaluation after a training call, by the input of the latter."""
        first, second = self.leaf(earlier), self.leaf(later)
        with autograd.record(train_mode=True):
            self.block(first)
            with autograd.predict_mode():
                y = self.block(second)
        y.backward(self.tensor(dy), train_mode=False)
        return self.array(first.grad)

    def forward_replicas(self, xs: Sequence[Array]) -> _Replicated:
        """Call contrib's ``SyncBatchNorm``, which has the same parameters, on a context of the processor for each."""
        config, contexts = self.config, [mx.cpu(k) for k in range(len(xs))]
        block = SyncBatchNorm(
            in_channels=config.channels, num_devices=len(xs),
            momentum=None if config.momentum is None else 1 - config.momentum,
            epsilon=config.epsilon, scale=config.gamma, center=config.beta,
        )  # fmt: skip
        block.initialize(ctx=contexts)
        for name in ("gamma", "beta", *_STATE):
            getattr(block, name).set_data(getattr(self.block, name).data())
        leaves = [self.tensor(x).as_in_context(context) for x, context in zip(xs, contexts, strict=True)]
        for leaf in leaves:
            leaf.attach_grad()
        with autograd.record():
            outputs = [block(leaf) for leaf in leaves]
        return _Replicated(self, block, leaves, outputs)

    def export(self, x: Array, mode: str) -> Array:
        """Export the block, hybridised and called in that mode, to a symbol and parameters, and call what is loaded."""
        held, given = self.get_state(), self.tensor(x)
        self.block.hybridize()
        with autograd.record(train_mode=mode == "train"):
            self.block(given).wait_to_read()
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "layer")
            self.block.export(file)
            loaded = SymbolBlock.imports(f"{file}-symbol.json", ["data"], f"{file}-0000.params")
            y = self.array(loaded(given))
        self.block.hybridize(self.execution == "graph")
        self.set_state(held)
        return y

    def freeze(self) -> None:
        """Ask for no gradient of the parameters."""
        self.block.collect_params().setattr("grad_req", "null")

    def thaw(self) -> None:
        """Ask for gradients of the parameters that have some again."""
        for name, wanted in (("gamma", self.config.gamma), ("beta", self.config.beta)):
            getattr(self.block, name).grad_req = "write" if wanted else "null"

    def reload(self) -> _Layer:
        """Save the parameters to a file and load them into a new block."""
        fresh = _Layer(self.config, {}, self.execution)
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "layer.params")
            self.block.save_parameters(file)
            fresh.block.load_parameters(file)
        return fresh

    def get_state(self) -> State:
        """Return the running statistics."""
        return {name: getattr(self.block, name).data().asnumpy() for name in _STATE}

    def set_state(self, state: State) -> None:
        """Overwrite the parameters that the state names."""
        for name, array in state.items():
            getattr(self.block, name).set_data(nd.array(array, dtype=array.dtype))

    def tensor(self, x: Array) -> Any:
        """Return the array, its channels moved to where the case wants them."""
        moved = np.moveaxis(x, 1, -1) if self.last else x
        if x.dtype == ml_dtypes.bfloat16:
            return nd.array(moved.astype(np.float32)).astype(_BFLOAT16)
        return nd.array(moved, dtype=moved.dtype)

    def leaf(self, x: Array) -> Any:
        """Return the array as one that asks for its gradient."""
        leaf = self.tensor(x)
        leaf.attach_grad()
        return leaf

    def array(self, tensor: Any) -> Array:
        """Return what came out in canonical layout."""
        values: Array = tensor.asnumpy()
        if values.dtype == _BFLOAT16:
            values = values.view(ml_dtypes.bfloat16)
        return np.moveaxis(values, -1, 1) if self.last else values


@dataclass(frozen=True)
class _Forward:
    """One call, with its record."""

    layer: _Layer
    mode: str
    x: Any
    output: Any

    @property
    def y(self) -> Array:
        """Return the output."""
        return self.layer.array(self.output)

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        """Differentiate the record, which is kept for another time, in the mode that it was made in."""
        layer = self.layer
        sources = [self.x if name == "x" else getattr(layer.block, name).data() for name in wrt]
        found = autograd.grad(
            self.output, sources, layer.tensor(dy), retain_graph=True, train_mode=self.mode == "train"
        )
        return {name: layer.array(one) if name == "x" else one.asnumpy() for name, one in zip(wrt, found, strict=True)}


@dataclass(frozen=True)
class _Replicated:
    """One call on several contexts, with its record."""

    layer: _Layer
    block: Any
    xs: Sequence[Any]
    outputs: Sequence[Any]

    @property
    def y(self) -> Array:
        """Return the outputs of the replicas, joined along the rows."""
        return self._joined(self.outputs)

    def backward(self, dy: Array, wrt: Sequence[str]) -> Mapping[str, Array]:
        """Differentiate the record; return the gradients of the inputs joined, those of parameters added up."""
        layer, sizes = self.layer, [x.shape[0] for x in self.xs]
        parts = np.split(dy, np.cumsum(sizes)[:-1])
        upstream = [layer.tensor(part).as_in_context(x.context) for part, x in zip(parts, self.xs, strict=True)]
        autograd.backward(list(self.outputs), upstream, retain_graph=True)
        layer.set_state({name: getattr(self.block, name).data(self.xs[0].context).asnumpy() for name in _STATE})
        found: dict[str, Array] = {"x": self._joined([x.grad for x in self.xs])} if "x" in wrt else {}
        for name in (name for name in wrt if name != "x"):
            found[name] = np.sum([one.asnumpy() for one in getattr(self.block, name).list_grad()], axis=0)
        return found

    def _joined(self, values: Sequence[Any]) -> Array:
        return np.concatenate([self.layer.array(one) for one in values])
