"""Old multi-backend Keras on a TensorFlow of today: the shims without which it does not import, and nothing else.

Keras 2.1 to 2.3 was written for Python 3.6, NumPy 1.14 and TensorFlow 1. What it looks for under a name
that has moved since is put where it looks; what its layers compute is its own, in graphs and sessions of
``tf.compat.v1``. To be used in a process that has nothing else to do with TensorFlow.
"""

from __future__ import annotations

import collections
import collections.abc
import importlib
import os
import types
from typing import Any

import numpy as np

__all__ = ["import_keras_2"]

_MOVED = ("Callable", "Iterable", "Mapping", "MutableMapping", "Sequence")


class _Absent(types.ModuleType):
    """Stands for ``tf.keras``, of which Keras 2.3 derives classes that no layer needs: the real one is Keras 3."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else _Absent(name)


def import_keras_2() -> tuple[Any, Any, str]:
    """Return Keras, TensorFlow as version 1 had it, and the version that it is.

    Keras is told that it is 1.15: by the version it chooses graphs and sessions, or calls of version 2.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in _MOVED:
        vars(collections).setdefault(name, getattr(collections.abc, name))
    for name, builtin in {"bool": bool, "float": float, "int": int, "object": object}.items():
        vars(np).setdefault(name, builtin)
    tensorflow: Any = importlib.import_module("tensorflow")
    first = tensorflow.compat.v1
    first.disable_v2_behavior()
    for name in dir(first):
        if not name.startswith("_") and name not in ("keras", "compat", "version"):
            setattr(tensorflow, name, getattr(first, name))
    tensorflow.keras = _Absent("keras")
    version, tensorflow.__version__ = str(tensorflow.__version__), "1.15.0"
    ops: Any = importlib.import_module("tensorflow.python.framework.ops")
    vars(ops).setdefault("_TensorLike", tensorflow.Tensor)
    vars(ops).setdefault("is_dense_tensor_like", lambda value: isinstance(value, tensorflow.Tensor))
    return importlib.import_module("keras"), tensorflow, version
