"""Scripts of Apache MXNet: ``mxnet.gluon.nn.BatchNorm``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments, tuple_of

__all__ = ["Mxnet"]


class Mxnet(Writer):
    """One block on the processor; gradients by ``autograd.grad``."""

    @property
    def imports(self) -> Lines:
        """Import what is called."""
        exports = any(step.exported for step in self.case.steps)
        synchronised = any(step.replicas is not None for step in self.case.steps)
        beside = ["import tempfile"] if exports or any(step.reload for step in self.case.steps) else []
        return [
            *beside,
            f"from mxnet import autograd, {'cpu, ' * synchronised}nd",
            f"from mxnet.gluon import {'SymbolBlock, ' * exports}nn",
            *(["from mxnet.gluon.contrib.nn import SyncBatchNorm"] if synchronised else []),
        ]

    def build(self) -> Lines:
        """Make the block and overwrite its parameters."""
        names = ("gamma", "beta", "running_mean", "running_var")
        return [*self.made(), *(line for name in names if name in self.held for line in self.put(name, name))]

    def made(self) -> Lines:
        """Make the block."""
        layer = self.layer
        given = arguments(axis=-1 if self.last else 1, **self.own())
        hybrid = ["layer.hybridize()"] if self.execution == "graph" else []
        return [f"layer = nn.BatchNorm({given})", f'layer.cast("{layer.param_dtype}")', "layer.initialize()", *hybrid]

    def own(self) -> dict[str, Any]:
        """Return the arguments that the synchronised block has too."""
        layer = self.layer
        return {
            "momentum": self.kept_weight(), "epsilon": layer.epsilon, "scale": layer.gamma, "center": layer.beta,
            "in_channels": layer.channels,
        }  # fmt: skip

    def replicate(self, call: Call) -> Lines:
        """Call a synchronised block with the same parameters, on a context of the processor for each replica."""
        n, count = call.number, len(call.replicas)
        return [
            f"contexts = [cpu(k) for k in range({count})]",
            f"synchronised = SyncBatchNorm({arguments(num_devices=count, **self.own())})",
            "synchronised.initialize(ctx=contexts)",
            'for name in ("gamma", "beta", "running_mean", "running_var"):',
            "    getattr(synchronised, name).set_data(getattr(layer, name).data())",
            f"parts = zip([{', '.join(call.replicas)}], contexts)",
            f"xs_{n} = [{self.tensor('part')}.as_in_context(context) for part, context in parts]",
            f"for x in xs_{n}:",
            "    x.attach_grad()",
            "with autograd.record():",
            f"    outs_{n} = [synchronised(x) for x in xs_{n}]",
            f"y_{n} = np.concatenate([{self.array('out')} for out in outs_{n}])",
        ]

    def replicas_backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Differentiate the record, add up the parameters' gradients, and take over the state, which moves here."""
        n = call.number
        return [
            f"parts = zip(np.split({dy}, np.cumsum([len(x) for x in xs_{n}])[:-1]), contexts)",
            f"upstream = [{self.tensor('part')}.as_in_context(context) for part, context in parts]",
            f"autograd.backward(outs_{n}, upstream, retain_graph=True)",
            'for name in ("running_mean", "running_var"):',
            "    getattr(layer, name).set_data(getattr(synchronised, name).data(contexts[0]).as_in_context(cpu()))",
            *(
                f"dx_{number} = np.concatenate([{self.array('x.grad')} for x in xs_{n}])" if name == "x"
                else f"d{name}_{number} = sum(one.asnumpy() for one in synchronised.{name}.list_grad())"
                for name in wrt
            ),
        ]  # fmt: skip

    def forward(self, call: Call) -> Lines:
        """Call the block where gradients are recorded, the mode that of the record."""
        n = call.number
        return [
            *self.leaf(f"x_{n}", call.x),
            f"with autograd.record(train_mode={call.mode == 'train'}):",
            f"    out_{n} = layer(x_{n})",
            f"y_{n} = {self.array(f'out_{n}')}",
        ]

    def automatic(self, call: Call) -> Lines:
        """Call the block: inside of a record where a gradient is taken, which trains."""
        if call.differentiated:
            return self.forward(call)
        n = call.number
        return [f"out_{n} = layer({self.tensor(call.x)})", f"y_{n} = {self.array(f'out_{n}')}"]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Differentiate the record, which is kept for another time, in the mode that it was made in."""
        if call.replicas:
            return self.replicas_backward(number, call, wrt, dy)
        n = call.number
        leaves = [f"x_{n}" if name == "x" else f"layer.{name}.data()" for name in wrt]
        return [
            f"{tuple_of([f'grad_{name}' for name in wrt])} = autograd.grad(",
            f"    out_{n}, [{', '.join(leaves)}], {self.tensor(dy)},",
            f"    retain_graph=True, train_mode={call.mode == 'train'},",
            ")",
            *(
                f"d{name}_{number} = {self.array('grad_x') if name == 'x' else f'grad_{name}.asnumpy()'}"
                for name in wrt
            ),
        ]

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Train, evaluate, differentiate by the first batch."""
        return [
            *self.leaf("earlier", earlier),
            *self.leaf("later", later),
            "with autograd.record(train_mode=True):",
            "    layer(earlier)",
            "    with autograd.predict_mode():",
            f"        out_{number} = layer(later)",
            f"out_{number}.backward({self.tensor(dy)}, train_mode=False)",
            f"dx_earlier_{number} = {self.array('earlier.grad')}",
        ]

    def freeze(self, *, wanted: bool) -> Lines:
        """Ask for no gradient of the parameters, or for those again that there are."""
        if wanted:
            return ['layer.collect_params().setattr("grad_req", "null")']
        kinds = {name: "write" if getattr(self.layer, name) else "null" for name in ("gamma", "beta")}
        return [f'layer.{name}.grad_req = "{kind}"' for name, kind in kinds.items()]

    def reload(self) -> Lines:
        """Save the parameters to a file and load them into a new block."""
        return [
            "with tempfile.TemporaryDirectory() as folder:",
            '    file = folder + "/layer.params"',
            "    layer.save_parameters(file)",
            *(f"    {line}" for line in self.made()),
            "    layer.load_parameters(file)",
        ]

    def export(self, call: Call) -> Lines:
        """Export the block, hybridised and called in the mode, and call what is loaded; its state is put back."""
        n = call.number
        held = ("running_mean", "running_var")
        return [
            f"x_{n} = {self.tensor(call.x)}",
            *(f"kept_{name} = {self.read(name)}" for name in held),
            "layer.hybridize()",
            f"with autograd.record(train_mode={call.mode == 'train'}):",
            f"    layer(x_{n}).wait_to_read()",
            "with tempfile.TemporaryDirectory() as folder:",
            '    layer.export(folder + "/layer")',
            '    files = folder + "/layer-symbol.json", ["data"], folder + "/layer-0000.params"',
            f"    y_{n} = {self.array(f'SymbolBlock.imports(*files)(x_{n})')}",
            *([] if self.execution == "graph" else ["layer.hybridize(False)"]),
            *(line for name in held for line in self.put(name, f"kept_{name}")),
        ]

    def read(self, name: str) -> str:
        """Read the parameter."""
        return f"layer.{name}.data().asnumpy()"

    def put(self, name: str, array: str) -> Lines:
        """Overwrite the parameter."""
        return [f"layer.{name}.set_data(nd.array({array}, dtype={array}.dtype))"]

    def leaf(self, name: str, x: str) -> Lines:
        """Return the lines that make a tensor which asks for its gradient."""
        return [f"{name} = {self.tensor(x)}", f"{name}.attach_grad()"]

    def tensor(self, name: str) -> str:
        """Return MXNet's array of a NumPy array."""
        given = f"nd.array({self.inside(name)}, dtype={name}.dtype)"
        bfloat16 = 'np.dtype([("bfloat16", np.uint16)])'  # MXNet's name for it in NumPy
        return f"{given}.astype({bfloat16})" if self.layer.dtype == "bfloat16" else given

    def array(self, tensor: str) -> str:
        """Return the NumPy expression of an array shaped as the input."""
        wide = '.astype("float32")' if self.layer.dtype == "bfloat16" else ""
        return self.outside(f"{tensor}{wide}.asnumpy()")

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Say that there are none."""
        raise CannotWrite("the gradient of MXNet's BatchNorm has no gradient, and MXNet no forward mode")
