"""Which adapter's calls are written by whom."""

from __future__ import annotations

import importlib

from conformance.adapters.registry import find
from conformance.adapters.scripts.writer import Writer
from conformance.corpus.case import Case
from conformance.errors import UsageError

__all__ = ["NETWORKS", "WRITERS", "writer_for"]

#: ``module:class`` below ``conformance.adapters.scripts``, by the name of the adapter without its execution.
WRITERS = {
    "torch": "torch:Module",
    "torch-functional": "torch:Functional",
    "torch-func": "torch_func:Func",
    "keras-tensorflow": "tensorflow_keras:Keras",
    "keras-jax": "keras:KerasJax",
    "keras-torch": "keras:KerasTorch",
    "tf-keras-fused": "tensorflow_keras:Keras2Fused",
    "tf-keras-unfused": "tensorflow_keras:Keras2Unfused",
    "tf-keras-v1": "tensorflow_keras:Keras2V1",
    "tensorflow-fused": "tensorflow_functions:Fused",
    "tensorflow-nn": "tensorflow_functions:Nn",
    "flax-linen": "flax:Linen",
    "flax-linen-two-pass": "flax:LinenTwoPass",
    "flax-nnx": "flax:Nnx",
    "haiku": "jax_libraries:Haiku",
    "equinox-batch": "jax_libraries:EquinoxBatch",
    "equinox-ema": "jax_libraries:EquinoxEma",
    "stax": "jax_libraries:Stax",
    "mlx": "mlx:Mlx",
    "paddle": "paddle:Paddle",
    "onnx-reference-9": "onnx:Reference9",
    "onnx-reference-14": "onnx:Reference14",
    "onnx-reference-15": "onnx:Reference15",
    "onnxruntime": "onnx:Runtime",
    "mxnet": "mxnet:Mxnet",
    "tinygrad": "tinygrad:Tinygrad",
    "numpy": "numpy:Formulas",
}


#: The same for those that build whole networks.
NETWORKS = {
    "torch": "networks:TorchNetwork",
    "keras-tensorflow": "networks:KerasNetwork",
    "keras-jax": "networks:KerasJaxNetwork",
    "keras-torch": "networks:KerasTorchNetwork",
    "tf-keras-unfused": "networks:Keras2Network",
    "tf-keras-v1": "networks:Keras2V1Network",
    "flax-linen": "networks:LinenNetwork",
    "flax-linen-two-pass": "networks:LinenTwoPassNetwork",
}


def writer_for(adapter: str, case: Case, held: frozenset[str]) -> Writer:
    """Return what writes the calls of an adapter.

    Raises:
        AdapterError: no adapter is named so.
        UsageError: nobody has written down how its calls look.
    """
    name, _, execution = adapter.partition(":")
    find(adapter, hint=f"scripts are written for {', '.join(WRITERS)}")
    if name not in WRITERS:
        raise UsageError(
            f"how the calls of {adapter} are written is not known: scripts are of the suite's own adapters",
            hint=f"`conformance explain {case.id!r} {adapter}` tells what it answers and what is expected",
        )
    if case.network is not None and name not in NETWORKS:
        raise UsageError(
            f"{case.id} asks a whole network, and how {adapter} builds one is not written down",
            hint=f"written down it is for {', '.join(NETWORKS)}",
        )
    module, _, kind = (WRITERS if case.network is None else NETWORKS)[name].partition(":")
    made = getattr(importlib.import_module(f"conformance.adapters.scripts.{module}"), kind)
    writer = made(case, held, execution or "eager")
    assert isinstance(writer, Writer)
    return writer
