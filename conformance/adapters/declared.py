"""What the adapters of the suite declare, in short: told without importing a framework, and tested."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.definition.dialect import REFERENCE, Dialect

__all__ = ["DECLARED", "in_short", "parting"]

#: By the name of the adapter without its execution: where it parts from the paper, and what freezing does.
#: Options that depend on the layer are joined by `` / ``.
DECLARED: dict[str, dict[str, str]] = {
    "numpy": {"frozen": "C"},
    "torch": {"frozen": "A"},
    "torch-functional": {},
    "torch-func": {"frozen": "A"},
    "onnx-reference-9": {"running_variance": "population", "constants": "float32 each"},
    "onnx-reference-14": {"running_variance": "population", "constants": "float32 each"},
    "onnx-reference-15": {"running_variance": "population", "constants": "float32 each"},
    "onnxruntime": {"running_variance": "population", "constants": "float32"},
    "tinygrad": {},
    "mlx": {"frozen": "A"},
    "paddle": {"running_variance": "population", "constants": "float32", "frozen": "A"},
    "mxnet": {"running_variance": "population", "constants": "float32 old", "frozen": "A"},
    "keras-tensorflow": {"running_variance": "population", "frozen": "C"},
    "keras-jax": {"running_variance": "population", "frozen": "C"},
    "keras-torch": {"running_variance": "population", "frozen": "C"},
    "tf-keras-fused": {"frozen": "C"},
    "tf-keras-unfused": {"running_variance": "population", "constants": "float32 momentum", "frozen": "C"},
    "tf-keras-v1": {"running_variance": "population / sample", "constants": "float32 momentum / own", "frozen": "B"},
    "tensorflow-fused": {},
    "tensorflow-nn": {"running_variance": "population"},
    "flax-linen": {"running_variance": "population"},
    "flax-linen-two-pass": {"running_variance": "population"},
    "flax-nnx": {"running_variance": "population"},
    "haiku": {"running_variance": "population", "first_update": "debias"},
    "equinox-batch": {"running_variance": "population"},
    "equinox-ema": {"train_statistics": "updated", "running_variance": "population"},
    "stax": {},
}

_WORDS = {
    "train_statistics": "{} statistics in train", "running_variance": "{} variance", "momentum": "momentum of the {}",
    "constants": "{}", "first_update": "first update: {}", "frozen": "frozen {}",
}  # fmt: skip


def parting(dialect: Dialect) -> dict[str, str]:
    """Return the choices in which a dialect parts from the paper, and what it does when frozen."""
    options = {name: str(getattr(dialect, name)) for name in _WORDS}
    return {name: option for name, option in options.items() if option != getattr(REFERENCE, name)}


def in_short(options: Mapping[str, str]) -> str:
    """Return a few words for the options of ``parting``."""
    options = {name: f"{option} constants" if option == "float32" else option for name, option in options.items()}
    said = [words.format(options[name]) for name, words in _WORDS.items() if name in options]
    return ", ".join(said) or "as the paper"
