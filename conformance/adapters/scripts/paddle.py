"""Scripts of PaddlePaddle: ``paddle.nn.BatchNorm1D``, ``2D`` and ``3D``."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.writer import Call, CannotWrite, Lines, Writer, arguments, tuple_of

__all__ = ["Paddle"]

_MODULES = {2: "BatchNorm1D", 3: "BatchNorm1D", 4: "BatchNorm2D", 5: "BatchNorm3D"}
_SECOND = {2: "NC", 3: "NCL", 4: "NCHW", 5: "NCDHW"}
_LAST = {2: "NC", 3: "NLC", 4: "NHWC", 5: "NDHWC"}
_NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "_mean", "running_var": "_variance"}


class Paddle(Writer):
    """One module; gradients by ``paddle.grad``."""

    @property
    def imports(self) -> Lines:
        """Import it, and choose the processor."""
        steps = self.case.steps
        used = {
            "import tempfile": any(step.reload or step.exported for step in steps),
            "from paddle.distributed.fleet.utils import recompute": any(step.recompute for step in steps),
            "from paddle.quantization.imperative.fuse_utils import fuse_layers": any(step.folded for step in steps),
        }
        return ["import paddle", *(line for line, wanted in used.items() if wanted), 'paddle.set_device("cpu")']

    def build(self) -> Lines:
        """Make the module and overwrite its values."""
        return [
            f'paddle.set_default_dtype("{self.layer.param_dtype}")',
            *self.made(),
            *(f"layer.{theirs}.set_value({name})" for name, theirs in _NAMES.items()
              if name in self.held),
        ]  # fmt: skip

    def made(self) -> Lines:
        """Return the line of the constructor."""
        layer = self.layer
        given = arguments(
            layer.channels, momentum=self.kept_weight(), epsilon=layer.epsilon,
            weight_attr=None if layer.gamma else "False", bias_attr=None if layer.beta else "False",
            data_format=f'"{(_LAST if self.last else _SECOND)[layer.rank]}"',
        )  # fmt: skip
        return [f"layer = paddle.nn.{_MODULES[layer.rank]}({given})"]

    def reload(self) -> Lines:
        """Save the state dict to a file and load it into a new module."""
        return [
            "with tempfile.TemporaryDirectory() as folder:",
            '    file = folder + "/layer.pdparams"',
            "    paddle.save(layer.state_dict(), file)",
            *(f"    {line}" for line in self.made()),
            "    layer.set_state_dict(paddle.load(file))",
        ]

    def put(self, name: str, array: str) -> Lines:
        """Overwrite the buffer."""
        return [f"layer.{_NAMES[name]}.set_value({array})"]

    def fold(self, call: Call, kernel: str, bias: str | None, groups: int) -> Lines:
        """Fold by ``fuse_layers``, which Paddle's quantisation uses, and call what that returns."""
        n, size = call.number, self.layer.channels
        attribute = None if bias else "False"
        convolution = arguments(
            size, size, 3, padding=1, groups=groups if groups > 1 else None, bias_attr=attribute
        )
        spatial = self.layer.rank > 2
        return [
            f"before = paddle.nn.Conv2D({convolution})" if spatial
            else f"before = paddle.nn.Linear({arguments(size, size, bias_attr=attribute)})",
            f"before.weight.set_value({kernel if spatial else f'np.ascontiguousarray({kernel}.T)'})",
            *([f"before.bias.set_value({bias})"] if bias else []),
            "model = paddle.nn.Sequential(before, layer)",
            "model.eval()",
            'folded = fuse_layers(model, [["0", "1"]])',
            f"y_{n} = {self.array(f'folded({self.tensor(call.x)})')}",
        ]  # fmt: skip

    def export(self, call: Call) -> Lines:
        """Save the module in that mode, and call what is loaded."""
        return [
            "layer.train()" if call.mode == "train" else "layer.eval()",
            f"given = {self.tensor(call.x)}",
            "spec = paddle.static.InputSpec(given.shape, given.dtype)",
            "with tempfile.TemporaryDirectory() as folder:",
            '    file = folder + "/layer"',
            "    paddle.jit.save(layer, file, input_spec=[spec])",
            f"    y_{call.number} = {self.array('paddle.jit.load(file)(given)')}",
        ]

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Differentiate the gradients, multiplied by the directions."""
        if any(not name.startswith("hvp_") for name in asked):
            raise CannotWrite("Paddle has neither third derivatives nor forward mode")
        n, names = number, [name.removeprefix("hvp_") for name in asked]
        known = {"x": f"x_{n}", "dy": "upstream", "gamma": "layer.weight"}
        vectors = [
            f"paddle.to_tensor(v_gamma_{n})" if name == "gamma" else self.tensor(f"v_{name}_{n}") for name in names
        ]
        beside = ["layer.bias"] if self.layer.beta else []  # Paddle has both gradients of the two or None
        leaves = ", ".join([*(known[name] for name in names), *beside])
        return [
            "layer.train()" if call.mode == "train" else "layer.eval()",
            f"x_{n}, upstream = {self.tensor(call.x)}, {self.tensor(dy)}",
            f"x_{n}.stop_gradient = upstream.stop_gradient = False",
            f"total = (layer(x_{n}) * upstream).sum()",
            f"first = paddle.grad(total, [{leaves}], create_graph=True)[:{len(names)}]",
            f"found = paddle.grad(first, [{leaves}], [{', '.join(vectors)}], allow_unused=True)",
            *(
                f"hvp_{name}_{n} = " + (f"found[{k}].numpy()" if name == "gamma" else self.array(f"found[{k}]"))
                for k, name in enumerate(names)
            ),
        ]

    def forward(self, call: Call) -> Lines:
        """Call the module on a tensor, which has a gradient where one is asked for."""
        if call.mask is not None:
            raise CannotWrite("nn.BatchNorm*D take no mask")
        n = call.number
        leaf = [f"x_{n}.stop_gradient = False"] if call.differentiated else []
        return [
            "layer.train()" if call.mode == "train" else "layer.eval()",
            f"x_{n} = {self.tensor(call.x)}",
            *leaf,
            f"out_{n} = recompute(layer, x_{n})" if call.recompute else f"out_{n} = layer(x_{n})",
            f"y_{n} = {self.outside(f'out_{n}.numpy()')}",
        ]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Differentiate the graph, which is kept; what Paddle has no gradient of counts as zero."""
        leaves = [f"x_{call.number}" if name == "x" else f"layer.{_NAMES[name]}" for name in wrt]
        # Of gamma and beta Paddle has both gradients or None.
        alone = len({"gamma", "beta"} & set(wrt)) == 1
        lines = [
            f"{tuple_of([f'grad_{name}' for name in wrt])} = paddle.grad(",
            f"    out_{call.number}, [{', '.join(leaves)}], {self.tensor(dy)}, retain_graph=True",
            ")",
        ]
        for name in wrt:
            array = self.outside("grad_x.numpy()") if name == "x" else f"grad_{name}.numpy()"
            if alone and name != "x":
                array = f"np.zeros_like({name}) if grad_{name} is None else {array}"
            lines.append(f"d{name}_{number} = {array}")
        return lines

    def read(self, name: str) -> str:
        """Copy the buffer."""
        return f"layer.{_NAMES[name]}.numpy().copy()"

    def freeze(self, *, wanted: bool) -> Lines:
        """Stop the gradients of the parameters, or let them have some again."""
        layer = self.layer
        has = [name for name, given in (("weight", layer.gamma), ("bias", layer.beta)) if given]
        return [f"layer.{name}.stop_gradient = {wanted}" for name in has] or ["# a layer without parameters"]

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Train, evaluate, differentiate by the first batch."""
        return [
            f"earlier = {self.tensor(earlier)}",
            "earlier.stop_gradient = False",
            "layer.train()",
            "layer(earlier)",
            "layer.eval()",
            f"later = {self.tensor(later)}",
            "later.stop_gradient = False",
            f"(grad,) = paddle.grad(layer(later), earlier, {self.tensor(dy)}, allow_unused=True)",
            "grad = paddle.zeros_like(earlier) if grad is None else grad",
            f"dx_earlier_{number} = {self.outside('grad.numpy()')}",
        ]

    def array(self, tensor: str) -> str:
        """Return the NumPy expression of a tensor shaped as the input."""
        return self.outside(f"{tensor}.numpy()")

    def tensor(self, name: str) -> str:
        """Return Paddle's tensor of a NumPy array."""
        inner = self.inside(name)
        plain = inner == name and self.case.memory == "contiguous"
        return f"paddle.to_tensor({inner})" if plain else f"paddle.to_tensor(np.ascontiguousarray({inner}))"
