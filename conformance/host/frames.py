"""The wire format: one message is one safetensors file image, which says itself where it ends.

Eight bytes, little-endian: the length of the header; the header, JSON; the arrays, in C order, one
after the other. The message proper is a JSON text under ``__metadata__``.``message``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import ml_dtypes
import msgspec
import numpy as np

from conformance.adapters.contract import Array
from conformance.errors import HostError

__all__ = ["HEADER_LIMIT", "TOTAL_LIMIT", "Frame", "decode", "encode", "read_frame"]

#: Bytes that a header may have, and all arrays of a message together.
HEADER_LIMIT = 16 * 2**20
TOTAL_LIMIT = 2**31

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_METADATA = "__metadata__"


@dataclass(frozen=True)
class Frame:
    """A message, as JSON text, with the arrays that belong to it.

    ``token`` marks a request that is answered elsewhere and later; its answer carries the same one.
    """

    message: bytes
    arrays: Mapping[str, Array] = field(default_factory=dict)
    token: str = ""

    @cached_property
    def image(self) -> bytes:
        """Return the bytes of the message, made once: see ``encode``."""
        return encode(self)


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an array lies in the data, ``data_offsets[0]`` to ``data_offsets[1]`` (exclusive)."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_HEADER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(_Entry)
_MESSAGE = msgspec.json.Decoder(dict[str, str])
_encode_json = msgspec.json.Encoder().encode


def encode(frame: Frame) -> bytes:
    """Return the bytes of a message.

    Raises:
        HostError: an array has a dtype that the format lacks, or a name that it reserves.
    """
    token = {"token": frame.token} if frame.token else {}
    header: dict[str, object] = {_METADATA: {"message": frame.message.decode(), **token}}
    parts: list[Any] = [b"", b""]
    end = 0
    arrays = [(name, *_plain(name, array)) for name, array in frame.arrays.items()]
    # The widest first, so that every array lies at a multiple of its item size.
    for name, array, code in sorted(arrays, key=lambda entry: -entry[1].itemsize):
        start, end = end, end + array.nbytes
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": (start, end)}
        parts.append(array.tobytes())
    text = _encode_json(header)
    text += b" " * (-len(text) % 8)
    parts[:2] = len(text).to_bytes(8, "little"), text
    return b"".join(parts)


def read_frame(read: Callable[[int], bytearray]) -> Frame:
    """Read one message; ``read(n)`` returns exactly ``n`` bytes or raises.

    The arrays are writable and share one buffer. Nothing is read past the end of the message.

    Raises:
        HostError: what arrives is not a message of this format, or is larger than the limits.
    """
    start = read(8)
    length = int.from_bytes(start, "little")
    if not 2 <= length <= HEADER_LIMIT:
        raise HostError(
            f"not a message: it starts with {bytes(start)!r}, a header length of {length}; at most {HEADER_LIMIT}",
            hint="nothing but messages may be written to the pipe; print to standard error instead",
        )
    metadata, entries = _parse(bytes(read(length)))
    end = _checked_end(entries)
    data = read(end) if end else bytearray()
    arrays = {name: _array(name, entry, data) for name, entry in entries.items()}
    return Frame(metadata["message"].encode(), arrays, metadata.get("token", ""))


def decode(image: bytes) -> Frame:
    """Return the message that the bytes are, all of them.

    Raises:
        HostError: they are not, or something is left over.
    """
    position = 0

    def read(count: int) -> bytearray:
        nonlocal position
        piece = bytearray(image[position : position + count])
        if len(piece) < count:
            raise HostError(f"the message is cut off: {len(piece)} of {count} bytes at {position}")
        position += count
        return piece

    frame = read_frame(read)
    if position != len(image):
        raise HostError(f"{len(image) - position} bytes are left over behind the message")
    return frame


def _array(name: str, entry: _Entry, data: bytearray) -> Array:
    start = entry.data_offsets[0] if data else 0
    flat = np.frombuffer(data, _DTYPES[entry.dtype], count=prod(entry.shape), offset=start)
    try:
        return flat.reshape(entry.shape)
    except (ValueError, OverflowError) as error:  # too many dimensions, or too long ones beside a 0
        raise HostError(f"array {name}: no array has this shape: {error}") from None


def _plain(name: str, array: Array) -> tuple[Array, str]:
    """Return the array in little-endian order, and the format's name of its dtype."""
    little = array.dtype.newbyteorder("<")
    code = _CODES.get(little)
    if code is None:
        able = ", ".join(map(str, _CODES))
        raise HostError(f"{name} has dtype {array.dtype}, which cannot travel; one of {able} can")
    if name == _METADATA:
        raise HostError(f"no array can be named {_METADATA}")
    return (array if array.dtype == little else array.astype(little)), code


def _parse(header: bytes) -> tuple[dict[str, str], dict[str, _Entry]]:
    try:
        if not header.startswith(b"{"):
            raise HostError(f"the header of a message is a JSON object; got {header[:20]!r}")
        raw = _HEADER.decode(header)
        if _METADATA not in raw:
            raise HostError(f"the header lacks `{_METADATA}`, which holds the message")
        metadata = _MESSAGE.decode(raw.pop(_METADATA))
        if "message" not in metadata:
            raise HostError(f"`{_METADATA}` of the header lacks `message`")
        return metadata, {name: _ENTRY.decode(entry) for name, entry in raw.items()}
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise HostError(f"the header of a message is malformed: {error}; it starts with {header[:80]!r}") from None


def _checked_end(entries: Mapping[str, _Entry]) -> int:
    """Return the length of the data; the arrays must fill it without a gap or an overlap."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        if entry.dtype not in _DTYPES:
            raise HostError(f"array {name}: dtype {entry.dtype!r}; expected one of {', '.join(_DTYPES)}")
        if any(length < 0 for length in entry.shape):
            raise HostError(f"array {name}: shape {entry.shape} has a negative length")
        start, stop = entry.data_offsets
        size = prod(entry.shape) * _DTYPES[entry.dtype].itemsize
        if start != end or stop - start != size:
            raise HostError(
                f"array {name}: data_offsets {entry.data_offsets}; expected [{end}, {end + size}] "
                f"for {entry.dtype} of shape {entry.shape}"
            )
        end = stop
    if end > TOTAL_LIMIT:
        raise HostError(f"the arrays of a message have {end} bytes; at most {TOTAL_LIMIT}")
    return end
