"""Epsilon as an implementation keeps it: as it is, or as a number of float32; for momentum see ``running_state``."""

from __future__ import annotations

import msgspec
import numpy as np

from conformance.corpus.case import Layer
from conformance.definition.dialect import Dialect

__all__ = ["kept_constants"]


def kept_constants(layer: Layer, dialect: Dialect) -> Layer:
    """Return the layer with the epsilon that is computed with."""
    if dialect.constants in ("own", "float32 momentum", "float32 old"):
        return layer
    return msgspec.structs.replace(layer, epsilon=float(np.float32(layer.epsilon)))
