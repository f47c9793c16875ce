"""The table of the adapters that come with the suite: where each is, what it needs, and how it executes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata

__all__ = ["BUILT_IN", "AdapterSpec"]

_DISTRIBUTION = "batchnorm-conformance"
_NAMED_BY = {"clang": "CC", "g++": "CXX"}


@dataclass(frozen=True)
class AdapterSpec:
    """Where an adapter is, and what it needs.

    ``target`` is ``module:Class``; ``requires`` names distributions, alternatives separated by
    ``|``, the one whose version labels the column first; ``install`` is the command that brings them.
    ``programs`` names what must be found beside them to run: compilers, unless an environment variable names another.
    ``execution`` is how the implementation runs its calls; ``default`` tells whether a run that
    names no adapter asks this one.
    """

    name: str
    target: str
    requires: tuple[str, ...] = ()
    install: str = ""
    execution: str = "eager"
    default: bool = True
    programs: tuple[str, ...] = ()

    @property
    def is_installed(self) -> bool:
        """Return whether all that it requires is installed; says nothing of whether it imports."""
        return not self.remedy

    @property
    def remedy(self) -> str:
        """Return the command that installs what is lacking; empty if nothing is."""
        has_all = all(any(map(_version, choice.split("|"))) for choice in self.requires)
        absent = [program for program in self.programs if not _is_found(program)]
        commands = ("" if has_all else self.install, f"apt-get install {' '.join(absent)}" if absent else "")
        return " && ".join(filter(None, commands))

    @property
    def version(self) -> str:
        """Return the installed version of the first that it requires; empty if there is none."""
        choices = self.requires[0].split("|") if self.requires else []
        return next(filter(None, map(_version, choices)), "")


def _version(distribution: str) -> str:
    """Return the installed version; empty if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _is_found(program: str) -> bool:
    """Return whether a compiler is there, the usual one or that of the environment variable which stands for it."""
    return shutil.which(os.environ.get(_NAMED_BY.get(program, ""), program)) is not None


def _spec(
    name: str, target: str, extra: str, *requires: str, default: bool = False, programs: tuple[str, ...] = ()
) -> AdapterSpec:
    """Return a row: the execution is what follows the colon in the name, or eager."""
    wanted = f"'{_DISTRIBUTION}[{extra}]'" if extra else _DISTRIBUTION
    return AdapterSpec(
        name, f"conformance.adapters.{target}", requires, f"pip install {wanted}",
        name.partition(":")[2] or "eager", default, programs,
    )  # fmt: skip


_TENSORFLOW = "tensorflow|tensorflow-cpu|tf-nightly|tensorflow-macos|tensorflow-intel|tensorflow-aarch64"

#: One a line: name[:execution], module:Class, extra of this distribution, distributions.
BUILT_IN: dict[str, AdapterSpec] = {
    spec.name: spec
    for spec in (
        _spec("numpy", "numpy:Adapter", "", default=True),
        _spec("torch", "torch:Adapter", "torch", "torch", default=True),
        _spec("torch:compile", "torch_compile:Adapter", "torch", "torch", programs=("g++",)),
        _spec("torch-functional", "torch_functional:Adapter", "torch", "torch"),
        _spec("torch-func", "torch_func:Adapter", "torch", "torch"),
        _spec("torch-func:vmap", "torch_func:Vmapped", "torch", "torch"),
        _spec("onnx-reference-9", "onnx_reference:Opset9", "onnx", "onnx"),
        _spec("onnx-reference-14", "onnx_reference:Opset14", "onnx", "onnx"),
        _spec("onnx-reference-15", "onnx_reference:Opset15", "onnx", "onnx"),
        _spec("onnxruntime", "onnxruntime:Adapter", "onnxruntime", "onnxruntime", "onnx"),
        _spec("tinygrad", "tinygrad:Adapter", "tinygrad", "tinygrad", programs=("clang",)),
        _spec("mlx", "mlx:Adapter", "mlx", "mlx"),
        _spec("paddle", "paddle:Adapter", "paddle", "paddlepaddle"),
        _spec("mxnet", "mxnet:Adapter", "mxnet", "mxnet"),
        _spec("mxnet:graph", "mxnet:Graph", "mxnet", "mxnet"),
        _spec("keras-tensorflow", "keras_tensorflow:Adapter", "tensorflow", "keras", _TENSORFLOW, default=True),
        _spec("keras-tensorflow:graph", "keras_tensorflow:Graph", "tensorflow", "keras", _TENSORFLOW),
        _spec("keras-tensorflow:xla", "keras_tensorflow:Xla", "tensorflow", "keras", _TENSORFLOW),
        _spec("keras-jax", "keras_jax:Adapter", "keras-jax", "keras", "jax"),
        _spec("keras-jax:jit", "keras_jax:Jit", "keras-jax", "keras", "jax"),
        _spec("keras-torch", "keras_torch:Adapter", "keras-torch", "keras", "torch"),
        _spec("tf-keras-fused", "tf_keras:Fused", "tf-keras", "tf_keras", _TENSORFLOW),
        _spec("tf-keras-unfused", "tf_keras:Unfused", "tf-keras", "tf_keras", _TENSORFLOW),
        _spec("tf-keras-v1", "tf_keras:V1", "tf-keras", "tf_keras", _TENSORFLOW),
        _spec("tensorflow-fused", "tensorflow_fused:Adapter", "tensorflow", _TENSORFLOW),
        _spec("tensorflow-fused:graph", "tensorflow_fused:Graph", "tensorflow", _TENSORFLOW),
        _spec("tensorflow-fused:xla", "tensorflow_fused:Xla", "tensorflow", _TENSORFLOW),
        _spec("tensorflow-nn", "tensorflow_nn:Adapter", "tensorflow", _TENSORFLOW),
        _spec("tensorflow-nn:graph", "tensorflow_nn:Graph", "tensorflow", _TENSORFLOW),
        _spec("tensorflow-nn:xla", "tensorflow_nn:Xla", "tensorflow", _TENSORFLOW),
        _spec("flax-linen", "flax_linen:Adapter", "jax", "flax", "jax", default=True),
        _spec("flax-linen:jit", "flax_linen:Jit", "jax", "flax", "jax"),
        _spec("flax-linen-two-pass", "flax_linen:TwoPass", "jax", "flax", "jax"),
        _spec("flax-nnx", "flax_nnx:Adapter", "jax", "flax", "jax"),
        _spec("flax-nnx:jit", "flax_nnx:Jit", "jax", "flax", "jax"),
        _spec("haiku", "haiku:Adapter", "haiku", "dm-haiku", "jax"),
        _spec("haiku:jit", "haiku:Jit", "haiku", "dm-haiku", "jax"),
        _spec("equinox-batch", "equinox:Batch", "equinox", "equinox", "jax"),
        _spec("equinox-batch:jit", "equinox:BatchJit", "equinox", "equinox", "jax"),
        _spec("equinox-ema", "equinox:Ema", "equinox", "equinox", "jax"),
        _spec("equinox-ema:jit", "equinox:EmaJit", "equinox", "equinox", "jax"),
        _spec("stax", "stax:Adapter", "stax", "jax"),
        _spec("stax:jit", "stax:Jit", "stax", "jax"),
    )
}
