"""Epsilon as an implementation keeps or exports it, a number of float32 perhaps; for momentum see ``running_state``."""

from __future__ import annotations

import msgspec
import numpy as np

from conformance.corpus.case import Layer
from conformance.definition.dialect import Dialect
from conformance.definition.rules import Rules

__all__ = ["exported_epsilon", "kept_constants"]


def kept_constants(layer: Layer, dialect: Dialect) -> Layer:
    """Return the layer with the epsilon that is computed with."""
    if dialect.constants in ("own", "float32 momentum", "float32 old"):
        return layer
    return msgspec.structs.replace(layer, epsilon=float(np.float32(layer.epsilon)))


def exported_epsilon(epsilon: float, rules: Rules) -> float:
    """Return the epsilon of a model that is exported from a layer with this one."""
    return {"kept": epsilon, "float32": float(np.float32(epsilon)), "1e-5": 1e-5}[rules.exported_epsilon]
