"""PyTorch: the modules under ``torch.compile``, by inductor; needs a C++ compiler on CPUs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo
import torch._functorch.config
from torch._dynamo.utils import counters

from conformance.adapters.contract import Adapter as BaseAdapter
from conformance.adapters.contract import Defaults, Implementation, LayerConfig, State
from conformance.adapters.shared import torch as shared
from conformance.adapters.shared.signature import defaults_of
from conformance.adapters.shared.torch import Tensors
from conformance.adapters.shared.torch_network import NetworkLayer
from conformance.corpus.case import Case, Network
from conformance.definition.dialect import Dialect

__all__ = ["Adapter"]

# Hosts run side by side; a pool of compiler processes would outlive none of them quickly.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# Silently eager would be no answer: a graph that breaks, or a limit that is hit, raises.
torch._dynamo.config.fail_on_recompile_limit_hit = True  # noqa: SLF001
# A backward may be asked for twice; PyTorch's message says to set this then.
torch._functorch.config.donated_buffer = False  # noqa: SLF001


class Adapter(BaseAdapter):
    """One compiled module per layer, after forgetting those of earlier layers."""

    def __init__(self) -> None:
        self.lacking = _lacking()

    def describe(self) -> Implementation:
        """Name PyTorch, its version, and the compiler."""
        return Implementation(
            name="torch", versions={"torch": torch.__version__}, execution="compile",
            documentation="https://docs.pytorch.org/docs/stable/generated/torch.compile.html",
            settings={"backend": "inductor", "fullgraph": "True"},
        )  # fmt: skip

    def defaults(self) -> Defaults:
        """Read the defaults of the constructor."""
        return defaults_of(torch.nn.BatchNorm2d, "torch.nn.BatchNorm2d")

    def dialect_for(self, layer: LayerConfig) -> Dialect:
        """Declare what the module does when it is not compiled."""
        return Dialect(
            statistics_gradient="refused", update_gradient="detached", recomputation="again", frozen="A",
            untracked="batch", state_dtype="parameters",
        )  # fmt: skip

    def unsupported(self, case: Case) -> str | None:
        """Refuse higher derivatives, and everything without a C++ compiler."""
        if any(step.hvp or step.third for step in case.steps):
            return "a compiled backward is not differentiable (torch.compile does not support double backward)"
        if case.momentum == "cumulative":
            return "the module divides by a count that it reads with item(): the graph breaks there"
        if _looks_back(case):
            return "the backward of a compiled evaluate is refused once its statistics have moved"
        return self.lacking or shared.unsupported(case)

    def create(self, layer: LayerConfig, state: State) -> _Layer:
        """Build the module and have it compiled when it is called."""
        _forget()
        return _Layer(layer, state)

    def create_network(self, layer: LayerConfig, network: Network, arrays: State) -> _Network:
        """Build the modules of the stack, which are compiled as one when they are called."""
        _forget()
        return _Network(layer, network, arrays)


def _forget() -> None:
    """Forget what was compiled for other layers: there are limits to it."""
    torch.compiler.reset()
    counters.clear()


class _Compiled:
    """A module, compiled, and the call of it with other buffers."""

    def __init__(self, module: torch.nn.Module, plain: Callable[..., torch.Tensor]) -> None:
        self.module, self.alone = module, torch.compile(module, fullgraph=True)
        self.with_others = torch.compile(plain, fullgraph=True)

    def __call__(self, x: torch.Tensor, mode: str, buffers: Tensors | None) -> Any:
        """Set the mode and call what was compiled.

        Raises:
            RuntimeError: nothing was compiled.
        """
        self.module.train(mode == "train")
        return _proved(lambda: self.alone(x) if buffers is None else self.with_others(x, mode, buffers))


class _Layer(shared.ModuleLayer):
    def __init__(self, config: LayerConfig, state: State) -> None:
        super().__init__(config, state)
        self.compiled = _Compiled(self.module, super().call)

    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> Any:
        """Call what was compiled."""
        return self.compiled(x, mode, buffers)


class _Network(NetworkLayer):
    """All modules as one graph."""

    def __init__(self, config: LayerConfig, network: Network, arrays: State) -> None:
        super().__init__(config, network, arrays)
        self.compiled = _Compiled(self.module, super().call)

    def call(self, x: torch.Tensor, mode: str, buffers: Tensors | None = None) -> Any:
        """Call what was compiled."""
        return self.compiled(x, mode, buffers)


def _proved(call: Callable[[], Any]) -> Any:
    """Call, and raise unless PyTorch has compiled a graph since it was reset and ran no frame as it stands."""
    y = call()
    stats, frames = counters["stats"], counters["frames"]
    if not stats["unique_graphs"] or frames["total"] != frames["ok"]:
        raise RuntimeError(f"torch.compile compiled nothing: {dict(stats)}, {dict(frames)}")
    return y


def _looks_back(case: Case) -> bool:
    """Tell whether a backward goes through an evaluate after a training forward that came later."""
    program = case.program
    for number, step in enumerate(program):
        start = next((k for k in range(number) if step.backward and program[k].name == step.backward), number)
        moved = any(one.mode == "train" and not one.rejected for one in program[start:number])
        if program[start].mode == "evaluate" and moved:
            return True
    return False


def _lacking() -> str | None:
    """Return what inductor cannot do without, where it is lacking."""
    from torch._inductor import cpp_builder, exc  # noqa: PLC0415  (not every PyTorch has it)

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return "inductor needs a C++ compiler, and finds none: install g++, or name one in CXX"
    return None
