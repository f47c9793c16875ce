"""Scripts of PyTorch: the modules, eager and compiled, and the function."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.torch_deployed import Deployed
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments, tuple_of

__all__ = ["Functional", "Module", "TorchWriter"]

_STATISTICS = frozenset({"running_mean", "running_var"})
_MODULES = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}


class TorchWriter(Writer):
    """What calls on tensors of PyTorch have in common, whatever is called."""

    #: Expression of each parameter and buffer.
    names: dict[str, str]

    def forward(self, call: Call) -> Lines:
        """Call the layer on a tensor, which asks for its gradient where one is wanted."""
        n = call.number
        asks = ".requires_grad_()" if call.differentiated else ""
        return [
            *self.mode(call.mode),
            *(self.before(call) if _STATISTICS & call.wrt else []),
            f"x_{n} = {self.tensor(call.x)}{asks}",
            f"out_{n} = {self.called(call, f'x_{n}')}",
            f"y_{n} = {self.array(f'out_{n}.detach()')}",
        ]

    def mode(self, mode: str) -> Lines:
        """Return the line that sets the mode, where the layer has one."""
        return []

    def called(self, call: Call, x: str) -> str:
        """Return the call."""
        raise NotImplementedError

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Differentiate the graph, which is kept for another time."""
        n, again, output = call.number, [], f"out_{call.number}"
        leaves = [f"x_{n}" if name == "x" else self.names[name] for name in wrt]
        if _STATISTICS & set(wrt):
            output, leaves = "again", [f'copies["{name}"]' if name in _STATISTICS else one
                                       for name, one in zip(wrt, leaves, strict=True)]  # fmt: skip
            again = ["# Buffers ask for no gradient: copies of those from before the call do.", *self.on_leaves(call)]
        found = tuple_of([f"grad_{name}" for name in wrt])
        return [
            *again,
            f"{found} = torch.autograd.grad(",
            f"    {output}, [{', '.join(leaves)}], {self.tensor(dy)}, retain_graph=True",
            ")",
            *(f"d{name}_{number} = {self.taken(name)}" for name in wrt),
        ]

    def taken(self, name: str) -> str:
        """Return a gradient as a NumPy array."""
        return self.array(f"grad_{name}") if name == "x" else self.plain(f"grad_{name}")

    def read(self, name: str) -> str:
        """Copy the buffer: the next call overwrites it."""
        return f"{self.plain(self.names[name])}.copy()"

    def put(self, name: str, array: str) -> Lines:
        """Overwrite the buffer."""
        return [f"{self.names[name]}.copy_(torch.from_numpy({array}))"]

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Train on one batch, evaluate another, ask for the gradient by the first."""
        train, evaluate = (Call(number, "", mode) for mode in ("train", "evaluate"))
        return [
            f"earlier = {self.tensor(earlier)}.requires_grad_()",
            *self.mode("train"), self.called(train, "earlier"),
            *self.mode("evaluate"), f"out_{number} = {self.called(evaluate, self.tensor(later))}",
            "(grad,) = torch.autograd.grad(",
            f"    out_{number}, earlier, {self.tensor(dy)}, allow_unused=True, materialize_grads=True",
            ")",
            f"dx_earlier_{number} = {self.array('grad')}",
        ]  # fmt: skip

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Differentiate gradients for products and third derivatives; forward mode is written on the module only."""
        n, lines = number, self.mode(call.mode)
        lines.append(f"x_{n}, upstream = {self.tensor(call.x)}.requires_grad_(), {self.tensor(dy)}.requires_grad_()")
        hvp = [name.removeprefix("hvp_") for name in asked if name.startswith("hvp_")]
        if hvp:
            leaf = {"x": f"x_{n}", "dy": "upstream", "gamma": self.names["gamma"]}
            leaves = "[" + ", ".join(leaf[name] for name in hvp) + "]"
            vectors = ", ".join(self.tensor(f"v_{name}_{n}", flat=name == "gamma") for name in hvp)
            total, given = f"out_{n}", ", upstream"
            lines.append(f"out_{n} = {self.called(call, f'x_{n}')}")
            if "dy" in hvp:
                total, given = f"(out_{n} * upstream).sum()", ""
            lines.append(f"first = torch.autograd.grad({total}, {leaves}{given}, create_graph=True)")
            lines.append(
                f"{tuple_of([f'grad_{name}' for name in hvp])} = torch.autograd.grad(\n"
                f"    first, {leaves}, [{vectors}],\n    allow_unused=True, materialize_grads=True\n)"
            )
            lines += [
                f"hvp_{name}_{n} = " + (self.plain if name == "gamma" else self.array)(f"grad_{name}.detach()")
                for name in hvp
            ]
        if "third_x" in asked:
            lines += [
                f"v, found = {self.tensor(f'v_x_{n}')}, {self.called(call, f'x_{n}')}",
                "for vector in (upstream, v, v):",
                f"    (found,) = torch.autograd.grad(found, x_{n}, vector, create_graph=True, materialize_grads=True)",
                f"third_x_{n} = {self.array('found.detach()')}",
            ]
        if any(name.startswith("jvp") for name in asked):
            lines += self.forward_mode(n, call, asked)
        return lines

    def forward_mode(self, number: int, call: Call, asked: Sequence[str]) -> Lines:
        """Push the direction through the call, which is given copies of its buffers to move."""
        lines = [
            f"v = {self.tensor(f'v_x_{number}')}",
            "",
            "def output(x):  # torch.func does not let a layer move its own buffers",
            *(f"    {line}" for line in self.on_copies(call)),
            "",
        ]
        derivative = "torch.func.jvp({}, ({},), (v,))[1]"
        first = derivative.format("output", f"{self.tensor(call.x)}")
        if "jvp_y" in asked:
            lines.append(f"jvp_y_{number} = {self.array(f'{first}.detach()')}")
        if "jvp2_y" in asked:
            inner = f"lambda x: {derivative.format('output', 'x')}"
            lines.append(f"jvp2_y_{number} = {self.array(f'{derivative.format(inner, self.tensor(call.x))}.detach()')}")
        return lines

    def on_copies(self, call: Call) -> Lines:
        """Return the body of a function that calls the layer on ``x`` with copies of its buffers."""
        raise CannotWrite("forward mode is not written out")

    def before(self, call: Call) -> Lines:
        """Return the line that keeps copies of the buffers from before the call."""
        raise CannotWrite("the gradient by running statistics is not written out")

    def on_leaves(self, call: Call) -> Lines:
        """Return the lines that call the layer ``again`` on ``copies`` of its buffers that ask for a gradient."""
        raise CannotWrite("the gradient by running statistics is not written out")

    def tensor(self, name: str, *, flat: bool = False) -> str:
        """Return the tensor of a NumPy array, given in the dtype of input or parameters."""
        dtype = self.layer.param_dtype if flat or name in self.held else self.layer.dtype
        memory = self.case.memory
        if dtype == "bfloat16" and memory == "strided" and name.startswith("x_"):
            moved = ".movedim(1, -1)" if self.last else ""
            return f"torch.from_numpy({name}.base).to(torch.bfloat16)[1::2, ..., 1::2]{moved}"
        # PyTorch has no negative strides.
        given = f"np.ascontiguousarray({name})" if memory == "reversed" and name.startswith("x_") else name
        inner = name if flat or name in self.held else self.inside(given)
        return f"torch.from_numpy({inner})" + (".to(torch.bfloat16)" if dtype == "bfloat16" else "")

    def array(self, tensor: str) -> str:
        """Return the NumPy expression of a tensor shaped as the input."""
        wide = ".float()" if self.layer.dtype == "bfloat16" else ""
        return self.outside(f"{tensor}{wide}.numpy()")

    def plain(self, tensor: str) -> str:
        """Return the NumPy expression of a tensor with a value per channel."""
        return f"{tensor}.float().numpy()" if self.layer.param_dtype == "bfloat16" else f"{tensor}.numpy()"


class Module(Deployed, TorchWriter):
    """``torch.nn.BatchNorm*d``, eager or under ``torch.compile``."""

    names = {  # noqa: RUF012
        "gamma": "layer.weight", "beta": "layer.bias", "running_mean": "layer.running_mean",
        "running_var": "layer.running_var",
    }  # fmt: skip

    @property
    def imports(self) -> Lines:
        """Import what is called."""
        steps = self.case.steps
        beside = ["import io", ""] if any(step.reload or step.exported for step in steps) else []
        recomputed = any(step.recompute for step in steps)
        checkpoint = ["from torch.utils.checkpoint import checkpoint"] if recomputed else []
        return [*beside, "import torch", *self.deploying, *checkpoint]

    def build(self) -> Lines:
        """Make the module and copy the given values into it."""
        lines = self.made()
        if self.held:
            lines.append("with torch.no_grad():")
        lines += [f"    {self.names[name]}.copy_({self.tensor(name)})" for name in self.names if name in self.held]
        if self.execution == "compile":
            lines += ["compiled = torch.compile(layer, fullgraph=True)"]
        return lines

    def made(self) -> Lines:
        """Return the lines of the constructor."""
        layer = self.layer
        given = arguments(
            layer.channels, eps=layer.epsilon, momentum=layer.momentum,
            affine=None if layer.gamma or layer.beta else "False",
            track_running_stats=None if layer.tracked else "False",
            dtype=None if layer.param_dtype == "float32" else f"torch.{layer.param_dtype}",
        )  # fmt: skip
        if layer.momentum is None:
            given = given.replace(f"eps={layer.epsilon}", f"eps={layer.epsilon}, momentum=None")
        lines = [f"layer = torch.nn.{_MODULES[layer.rank]}({given})"]
        if layer.gamma != layer.beta:
            lines.append(f'layer.register_parameter("{"bias" if layer.gamma else "weight"}", None)')
        return lines

    def mode(self, mode: str) -> Lines:
        """Set the mode."""
        return ["layer.train()" if mode == "train" else "layer.eval()"]

    def forward(self, call: Call) -> Lines:
        """Have the compiler see a tensor that asks for its gradient, always, as the suite does."""
        if self.execution == "compile":
            call = Call(call.number, call.x, call.mode, differentiated=True, recompute=call.recompute)
        return super().forward(call)

    def called(self, call: Call, x: str) -> str:
        """Call the module, under a checkpoint if it is to be recomputed."""
        name = "compiled" if self.execution == "compile" else "layer"
        return f"checkpoint({name}, {x}, use_reentrant=False)" if call.recompute else f"{name}({x})"

    def before(self, call: Call) -> Lines:
        """Copy the module's buffers."""
        return [f"before_{call.number} = {{name: one.clone() for name, one in layer.named_buffers()}}"]

    def on_leaves(self, call: Call) -> Lines:
        """Call the module by ``torch.func.functional_call``."""
        n = call.number
        return [
            f"copies = {{name: one.requires_grad_(one.is_floating_point()) for name, one in before_{n}.items()}}",
            *self.mode(call.mode),
            f"again = torch.func.functional_call(layer, copies, (x_{n},))",
        ]

    def on_copies(self, call: Call) -> Lines:
        """Call the module by ``torch.func.functional_call``."""
        return [
            "buffers = {name: buffer.clone() for name, buffer in layer.named_buffers()}",
            "return torch.func.functional_call(layer, buffers, (x,))",
        ]

    def freeze(self, *, wanted: bool) -> Lines:
        """Ask for no gradient of the parameters, or ask again."""
        return [f"layer.requires_grad_({not wanted})"]

    def reload(self) -> Lines:
        """Save the state dict and load it into a new module."""
        return [
            "file = io.BytesIO()",
            "torch.save(layer.state_dict(), file)",
            "file.seek(0)",
            *self.made(),
            "layer.load_state_dict(torch.load(file, weights_only=True))",
        ]


class Functional(TorchWriter):
    """``torch.nn.functional.batch_norm``, its buffers kept by the caller."""

    names = {"gamma": "weight", "beta": "bias", "running_mean": "mean", "running_var": "var"}  # noqa: RUF012

    @property
    def imports(self) -> Lines:
        """Import what is called."""
        recomputed = any(step.recompute for step in self.case.steps)
        return [
            "import torch", "import torch.nn.functional as F",
            *(["from torch.utils.checkpoint import checkpoint"] if recomputed else []),
        ]  # fmt: skip

    def build(self) -> Lines:
        """Make the tensors."""
        layer, lines = self.layer, []
        if layer.momentum is None:
            raise CannotWrite("the function counts no batches")
        has = {"gamma": layer.gamma, "beta": layer.beta, "running_mean": layer.tracked, "running_var": layer.tracked}
        for name, tensor in self.names.items():
            if not has[name]:
                lines.append(f"{tensor} = None")
            elif name in self.held:
                asks = "" if name.startswith("running") else ".requires_grad_()"
                lines.append(f"{tensor} = {self.tensor(name)}{asks}")
            else:
                kind = "ones" if name in ("gamma", "running_var") else "zeros"
                lines.append(f"{tensor} = torch.{kind}({layer.channels}, dtype=torch.{layer.param_dtype})")
        return lines

    def called(self, call: Call, x: str) -> str:
        """Call the function."""
        given = arguments(
            "mean", "var", "weight", "bias", training=call.mode == "train", momentum=self.layer.momentum,
            eps=self.layer.epsilon,
        )  # fmt: skip
        if call.recompute:
            return f"checkpoint(lambda x: F.batch_norm(x, {given}), {x}, use_reentrant=False)"
        return f"F.batch_norm({x}, {given})"

    def before(self, call: Call) -> Lines:
        """Copy the buffers."""
        return [f'before_{call.number} = {{"running_mean": mean.clone(), "running_var": var.clone()}}']

    def on_leaves(self, call: Call) -> Lines:
        """Call the function on the copies."""
        n = call.number
        again = self.called(call, f"x_{n}").replace("mean, var", 'copies["running_mean"], copies["running_var"]')
        return [f"copies = {{name: one.requires_grad_() for name, one in before_{n}.items()}}", f"again = {again}"]

    def on_copies(self, call: Call) -> Lines:
        """Call the function on clones."""
        given = self.called(call, "x")
        return [f"return {given}".replace("mean, var", "mean.clone(), var.clone()")]
