"""The arrays of a case: generated from their own description, bit for bit the same everywhere."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from conformance.corpus.at_hand import AtHand
from conformance.corpus.case import Case, Inputs, Step
from conformance.corpus.drawing import normal_of, uniform_of
from conformance.corpus.shape import parse_shape
from conformance.errors import CaseError

__all__ = ["generate", "inputs_of", "laid_out"]

Array: TypeAlias = NDArray[Any]

_DTYPES: dict[str, Any] = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
}  # fmt: skip


def generate(case: Case) -> dict[str, Array]:
    """Return the arrays of a case, read-only, in canonical layout ``(N, C, *spatial)``.

    ``x:LABEL`` for every input of ``case.program`` and ``dy:STEP`` (counted from 1) for every step
    that asks for gradients, in the case's dtype; for a step that asks for higher derivatives also the
    directions ``v_x:STEP``, ``v_dy:STEP``, and ``v_gamma:STEP`` of shape ``(C,)``; for one that is folded the linear
    layer's ``kernel:STEP``, shape ``(C, C, 3, ...)``, a 3 for each spatial dimension, and ``bias:STEP``; ``gamma`` and
    ``beta`` where the layer has them, ``running_mean`` and ``running_var`` unless the state is the
    layer's own, shape ``(C,)``, in the dtype of the layer's parameters. A network has ``kernel_K`` of shape
    ``(units, features)`` and ``bias_K`` for each dense layer, from 1; the others are those of its batch norms, joined.

    In channel ``c`` an input is ``scale * f_c * (z + offset + s_c)`` with ``z`` close to standard
    normal and factor and shift of ``_channels``. The running mean is drawn around the mean of
    ``case.x``, the running variance from 0.5 to 2 times its ``scale^2``, so that evaluating is
    sensible at any scale.

    Raises:
        CaseError: a generated value overflows the dtype.
    """
    arrays: dict[str, Array] = {}
    shapes: dict[str, str] = {}
    for number, step in enumerate(case.program, start=1):
        for label in step.labels:
            arrays[f"x:{label}"] = _labelled(case, label)
            if step.masked:
                arrays[f"mask:{label}"] = _mask(case.input(label).shape or case.shape, label)
        if step.target is not None:
            arrays[f"x:{step.target}"] = _labelled(case, step.target)
        if step.name is not None:
            shapes[step.name] = _shape(case, step)
        if step.gradients or step.through_update is not None:
            shape = shapes[step.backward] if step.backward is not None else _shape(case, step)
            arrays[f"dy:{number}"] = _upstream(shape, f"dy:{number}", case.dtype, step.dy)
        if step.differentiates:
            arrays |= _directions(case, number, step)
    arrays |= _parameters(case) | _linear(case)
    for name, array in arrays.items():
        if np.count_nonzero(np.isfinite(array)) < array.size and not _non_finite_by_intent(case, name):
            raise CaseError(
                f"{case.id}: input {name} overflows {array.dtype}", hint="lower its scale or offset"
            )
    return arrays


#: The same, for whoever comes to the same case while it is at hand: the host is given what the oracle takes.
inputs_of = AtHand(generate, lambda arrays: 500 + sum(array.nbytes for array in arrays.values()), room=64 * 2**20)


def laid_out(x: Array, memory: str) -> Array:
    """Return ``x`` in another memory layout: the same shape, dtype and values.

    ``strided`` is every other element, from the second, of an array of NaN twice as long in the
    first and last dimension; ``reversed`` has negative strides only; ``channels_last`` lies in the
    order ``(N, *spatial, C)``; ``contiguous`` is ``x`` itself.
    """
    if memory == "strided":
        larger = np.full((2 * x.shape[0] + 1, *x.shape[1:-1], 2 * x.shape[-1] + 1), np.nan, dtype=x.dtype)
        view = larger[1::2, ..., 1::2]
        view[...] = x
        return view
    if memory == "reversed":
        backwards = (slice(None, None, -1),) * x.ndim
        return np.ascontiguousarray(x[backwards])[backwards]
    if memory == "channels_last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return x


def _non_finite_by_intent(case: Case, name: str) -> bool:
    if not name.startswith("x:"):
        return False
    spec = case.input(name[2:])
    return spec.kind == "values" or spec.poison != "none" or bool(spec.sources)


def _labelled(case: Case, label: str) -> Array:
    """Return the input of that label: generated, or made from another one."""
    spec = case.input(label)
    repetition = label.removeprefix(label.partition(".")[0])
    sources = [_labelled(case, f"{source}{repetition}") for source in spec.sources]
    if spec.of is not None:
        x = _changed(sources[0], spec, case.dtype)
    elif spec.joined:
        x = np.concatenate(sources)
        x.flags.writeable = False
    else:
        x = _input(spec, label, case.dtype)
    if spec.poison != "none":
        x = x.copy()
        x[(0,) * x.ndim] = float(spec.poison)
        x.flags.writeable = False
    return x


def _changed(x: Array, spec: Inputs, dtype: str) -> Array:
    rows = x[::-1] if spec.reversed_rows else x
    return _rounded(rows.astype(np.float64) * spec.multiplied + spec.added, dtype)


def _shape(case: Case, step: Step) -> str:
    """Return the shape of the output of a forward step; replicas are joined along the rows."""
    shapes = [parse_shape(case.input(label).shape or case.shape) for label in step.labels]
    rows = sum(shape[0] for shape in shapes) if step.replicas is not None else shapes[-1][0]
    features = shapes[-1][1:] if case.network is None else (case.network.outputs,)
    return "x".join(str(length) for length in (rows, *features))


@lru_cache(maxsize=64)
def _mask(shape: str, label: str) -> Array:
    """Return which positions are let in, ``(N, *spatial)`` of bool: two thirds, the first two among them."""
    lengths = parse_shape(shape)
    positions = (lengths[0], *lengths[2:])
    drawn = uniform_of(math.prod(positions), {"label": f"mask:{label}"}) < 2 / 3
    drawn[:2] = True
    drawn[2:3] = False
    mask = drawn.reshape(positions)
    mask.flags.writeable = False
    return mask


def _directions(case: Case, number: int, step: Step) -> dict[str, Array]:
    """Return the upstream gradient of a step that asks for higher derivatives, and its directions."""
    shape, layer = _shape(case, step), case.layer
    of_input = shape if case.network is None else case.input(step.labels[0]).shape or case.shape
    shapes = {"v_x": of_input, "v_dy": shape, "v_gamma": f"{layer.channels}x1"}
    dtypes = {"v_x": case.dtype, "v_dy": case.dtype, "v_gamma": layer.param_dtype}
    arrays = {f"dy:{number}": _upstream(shape, f"dy:{number}", case.dtype, step.dy)}
    for name, one in shapes.items():
        arrays[f"{name}:{number}"] = _upstream(one, f"{name}:{number}", dtypes[name], step.direction)
    arrays[f"v_gamma:{number}"] = arrays[f"v_gamma:{number}"].reshape(-1)
    return arrays


def _parameters(case: Case) -> dict[str, Array]:
    layer, channels = case.layer, case.state_channels
    arrays: dict[str, Array] = {}
    for name, kind in (("gamma", case.gamma), ("beta", case.beta)):
        if kind != "none":
            arrays[name] = _affine(name, kind, channels, layer.param_dtype)
    arrays |= _dense(case)
    if not case.tracked:
        return arrays
    if case.state == "initial":
        arrays["running_mean"] = _rounded(np.zeros(channels), layer.param_dtype)
        arrays["running_var"] = _rounded(np.ones(channels), layer.param_dtype)
    elif case.state in ("random", "negative"):
        scale, offset = case.x.scale, case.x.offset
        arrays["running_mean"] = _running_mean(channels, scale, offset, layer.param_dtype)
        var = _running_var(channels, scale, layer.param_dtype)
        arrays["running_var"] = var if case.state == "random" else _rounded(-var.astype(np.float64), layer.param_dtype)
    return arrays


def _linear(case: Case) -> dict[str, Array]:
    """Return kernel and bias of each linear layer that the batch norm is folded into, drawn as those of a network."""
    layer = case.layer
    arrays: dict[str, Array] = {}
    for number, step in enumerate(case.program, start=1):
        features = 1 if step.folded == "depthwise" else layer.channels
        shape = (layer.channels, features, *(3,) * (layer.rank - 2))
        limit = math.sqrt(6 / (2 * math.prod(shape[1:])))
        wanted = ((f"kernel:{number}", shape, limit), (f"bias:{number}", (layer.channels,), 0.5))
        for label, lengths, largest in wanted[: {None: 0, "unbiased": 1}.get(step.folded, 2)]:
            drawn = 2 * uniform_of(math.prod(lengths), {"label": label, "dtype": layer.param_dtype}) - 1
            arrays[label] = _rounded(largest * drawn.reshape(lengths), layer.param_dtype)
    return arrays


def _dense(case: Case) -> dict[str, Array]:
    """Return the kernels, uniform within ``sqrt(6 / (units + features))`` (Glorot & Bengio 2010), and biases."""
    if case.network is None:
        return {}
    arrays: dict[str, Array] = {}
    for position, (units, features) in enumerate(case.network.dense(parse_shape(case.shape)[1]), start=1):
        limit = math.sqrt(6 / (units + features))
        for name, shape, largest in (("kernel", (units, features), limit), ("bias", (units,), 0.5)):
            label, dtype = f"{name}_{position}", case.layer.param_dtype
            drawn = 2 * uniform_of(math.prod(shape), {"label": label, "dtype": dtype}) - 1
            arrays[label] = _rounded(largest * drawn.reshape(shape), dtype)
    return arrays


@lru_cache(maxsize=512)
def _input(spec: Inputs, label: str, dtype: str) -> Array:
    shape = parse_shape(spec.shape or "")
    if spec.values is not None:
        return _rounded(np.array(spec.values, dtype=np.float64).reshape(shape), dtype)
    factor, shift = (row.reshape(-1, *(1,) * (len(shape) - 2)) for row in _channels(shape[1]))
    if spec.kind == "constant":
        z: Array = np.zeros(shape)
    else:
        z = normal_of(shape, {"label": label, "dtype": dtype, "offset": spec.offset, "scale": spec.scale})
    return _rounded(spec.scale * (factor * (z + (spec.offset + shift))), dtype)


@lru_cache(maxsize=512)
def _upstream(shape: str, label: str, dtype: str, kind: str) -> Array:
    if kind == "ones":
        return _rounded(np.ones(parse_shape(shape)), dtype)
    # Away from mean zero, so that a lost average of dy shows.
    return _rounded(normal_of(parse_shape(shape), {"label": label, "dtype": dtype}) + 0.25, dtype)


@lru_cache(maxsize=128)
def _affine(name: str, kind: str, channels: int, dtype: str) -> Array:
    if kind in ("ones", "zeros"):
        return _rounded(np.full(channels, float(kind == "ones")), dtype)
    magnitude = 0.5 + 1.5 * uniform_of(channels, {"label": name, "dtype": dtype, "kind": kind})
    if kind == "negative":
        return _rounded(-magnitude, dtype)
    # Signs alternate, so that even a layer of two channels has both.
    return _rounded(np.where(np.arange(channels) % 2 == 0, magnitude, -magnitude), dtype)


@lru_cache(maxsize=128)
def _running_mean(channels: int, scale: float, offset: float, dtype: str) -> Array:
    factor, shift = _channels(channels)
    z = normal_of((channels,), {"label": "running_mean", "dtype": dtype, "offset": offset, "scale": scale})
    return _rounded(scale * (factor * (z + (offset + shift))), dtype)


@lru_cache(maxsize=128)
def _running_var(channels: int, scale: float, dtype: str) -> Array:
    u = uniform_of(channels, {"label": "running_var", "dtype": dtype, "scale": scale})
    return _rounded((0.5 + 1.5 * u) * scale**2, dtype)


def _channels(channels: int) -> tuple[Array, Array]:
    """Return factor and shift of each channel, shape ``(C,)``: what makes a wrong axis show.

    Factors go through 0.5, 0.75, 1, 1.25, 1.5; shifts, in standard deviations, through -0.5, 0.25,
    1, so that neighbours differ in both.
    """
    c = np.arange(channels)
    return (c % 5 + 2) / 4, (c % 3) * 0.75 - 0.5


def _rounded(values: Array, dtype: str) -> Array:
    """Return the float64 values rounded to the dtype, read-only."""
    if dtype == "bfloat16":  # by way of float32 on every version, whatever the cast does inside
        values = values.astype(np.float32)
    with np.errstate(over="ignore"):
        array = np.array(values.astype(_DTYPES[dtype]), order="C")
    array.flags.writeable = False
    return array
