"""Scripts of PyTorch's modules as functions of their tensors, differentiated by ``torch.func``."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.adapters.scripts.torch import Module
from conformance.adapters.scripts.writer import Call, CannotWrite, Lines

__all__ = ["Func"]

_STATISTICS = frozenset({"running_mean", "running_var"})


class Func(Module):
    """The module by ``torch.func.functional_call``, its parameters and buffers as values."""

    def build(self) -> Lines:
        """Make the module and a function of its values."""
        applied = "return torch.func.functional_call(layer, {**parameters, **moved}, (x,)), moved"
        vmapped = [
            "",
            "def pairs(tensors):",
            '    """Stack the tensors of another layer on these, which nothing is differentiated by."""',
            "    return {name: torch.stack([one, torch.full_like(one, 2)]) for name, one in tensors.items()}",
            "",
            "",
            "def one_of_them(parameters, moved, x):",
            f"    {applied}",
            "",
        ]
        two = [
            "    both = torch.stack([x, torch.ones_like(x).cumsum(0)])",
            "    y, moved = torch.vmap(one_of_them)(pairs(parameters), pairs(moved), both)",
            "    return y[0], {name: one[0] for name, one in moved.items()}",
        ]
        return [
            *super().build(),
            "parameters = {name: one.detach() for name, one in layer.named_parameters()}",
            "",
            *(vmapped if self.execution == "vmap" else []),
            "",
            "def call(parameters, x, buffers=None):",
            "    moved = {name: one.clone() for name, one in (buffers or dict(layer.named_buffers())).items()}",
            *(two if self.execution == "vmap" else [f"    {applied}"]),
            "",
        ]

    def forward(self, call: Call) -> Lines:
        """Keep the pullback, and take over the buffers that the call has moved."""
        if call.recompute:
            raise CannotWrite("torch.utils.checkpoint does not go with torch.func")
        n = call.number
        return [
            *self.mode(call.mode),
            *(self.before(call) if _STATISTICS & call.wrt else []),
            f"out_{n}, pullback_{n}, moved = torch.func.vjp(call, parameters, {self.tensor(call.x)}, has_aux=True)",
            "for name, buffer in layer.named_buffers():",
            "    buffer.copy_(moved[name])",
            f"y_{n} = {self.array(f'out_{n}.detach()')}",
        ]

    def backward(self, number: int, call: Call, wrt: Sequence[str], dy: str) -> Lines:
        """Pull the upstream gradient back, by the statistics through a call of its own."""
        n, torch_names, again = call.number, {"gamma": "weight", "beta": "bias"}, []
        if _STATISTICS & set(wrt):
            again = [
                *self.mode(call.mode),
                f"held = {{name: one for name, one in before_{n}.items() if one.is_floating_point()}}",
                "_, pullback = torch.func.vjp(",
                f"    lambda given: call(parameters, {self.tensor(call.x)}, {{**before_{n}, **given}})[0], held",
                ")",
                f"(statistics,) = pullback({self.tensor(dy)})",
            ]
        lines = [f"grads, grad_x = pullback_{n}({self.tensor(dy)})", *again]
        for name in wrt:
            taken = f'statistics["{name}"]' if name in _STATISTICS else f'grads["{torch_names.get(name)}"]'
            lines.append(f"d{name}_{number} = {self.array('grad_x') if name == 'x' else self.plain(taken)}")
        return lines

    def through_update(self, number: int, earlier: str, later: str, dy: str) -> Lines:
        """Evaluate with the buffers that a training call on the first batch has moved."""
        return [
            "",
            "",
            "def both(earlier):",
            "    layer.train()",
            "    moved = call(parameters, earlier)[1]",
            "    layer.eval()",
            f"    return call(parameters, {self.tensor(later)}, moved)[0], moved",
            "",
            "",
            f"_, pullback, moved = torch.func.vjp(both, {self.tensor(earlier)}, has_aux=True)",
            "for name, buffer in layer.named_buffers():",
            "    buffer.copy_(moved[name])",
            f"dx_earlier_{number} = {self.array(f'pullback({self.tensor(dy)})[0]')}",
        ]

    def derivatives(self, number: int, call: Call, asked: Sequence[str], dy: str) -> Lines:
        """Push directions through ``torch.func.grad`` and through the call."""
        n, lines = number, [*self.mode(call.mode), f"x, upstream = {self.tensor(call.x)}, {self.tensor(dy)}"]
        if hvp := [name.removeprefix("hvp_") for name in asked if name.startswith("hvp_")]:
            lines += self.hessian_products(n, hvp)
        if "third_x" in asked:
            lines += [
                f"v = {self.tensor(f'v_x_{n}')}",
                "",
                "",
                "def along(function):",
                "    return lambda x: torch.func.jvp(function, (x,), (v,))[1]",
                "",
                "",
                "gradient = torch.func.grad(lambda x: (call(parameters, x)[0] * upstream).sum())",
                f"third_x_{n} = {self.array('along(along(gradient))(x).detach()')}",
            ]
        return lines + (self.forward_mode(n, call, asked) if any(name.startswith("jvp") for name in asked) else [])

    def hessian_products(self, number: int, names: Sequence[str]) -> Lines:
        """Push the directions through the gradient of ``sum(y * dy)``, in all their variables at once."""
        points = {"x": "x", "dy": "upstream", "gamma": 'parameters["weight"]'}
        vectors = [self.tensor(f"v_{name}_{number}", flat=name == "gamma") for name in names]
        held = '{**parameters, "weight": gamma}' if "gamma" in names else "parameters"
        given = [{"dy": "upstream"}.get(name, name) for name in names]
        return [
            "",
            "",
            f"def total({', '.join(given)}):",
            f"    return (call({held}, x)[0] * upstream).sum()",
            "",
            "",
            f"gradient = torch.func.grad(total, argnums={tuple(range(len(names)))})",
            f"at = ({', '.join(points[name] for name in names)},)",
            f"found = torch.func.jvp(gradient, at, ({', '.join(vectors)},))[1]",
            *(
                f"hvp_{name}_{number} = " + (self.plain if name == "gamma" else self.array)(f"found[{k}].detach()")
                for k, name in enumerate(names)
            ),
        ]

    def on_copies(self, call: Call) -> Lines:
        """Call the function, which moves copies."""
        return ["return call(parameters, x)[0]"]
