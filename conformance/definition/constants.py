"""Epsilon and momentum as an implementation keeps them: as they are, or as numbers of float32."""

from __future__ import annotations

import msgspec
import numpy as np

from conformance.corpus.case import Layer
from conformance.definition.dialect import Dialect

__all__ = ["kept_constants"]


def kept_constants(layer: Layer, dialect: Dialect) -> Layer:
    """Return the layer with the constants that are computed with.

    Where they are kept in float32, that of the state is the weight of the old one, ``1 - momentum``, as in the
    attributes of ONNX' BatchNormalization.
    """
    if dialect.constants == "own":
        return layer
    momentum = None if layer.momentum is None else 1 - float(np.float32(1 - layer.momentum))
    return msgspec.structs.replace(layer, epsilon=float(np.float32(layer.epsilon)), momentum=momentum)
