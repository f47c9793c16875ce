"""The wire format, held against the safetensors library."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from conformance.errors import HostError
from conformance.host import frames
from conformance.host.frames import Frame, decode, encode

NATIVE = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16, np.bool_]
SHAPES = [(), (0,), (3, 0, 2), (1,), (5,), (2, 3, 4)]


def image(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def header(**entries: Any) -> dict[str, Any]:
    return {"__metadata__": {"message": "{}"}, **entries}


def entry(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def arrays() -> st.SearchStrategy[np.ndarray[Any, Any]]:
    dtypes = st.sampled_from([np.dtype(dtype) for dtype in NATIVE] + [np.dtype(">f8")])
    return arrays_of.arrays(dtypes, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


#: Untyped.
_read_by_the_library: Any = safetensors.deserialize


@given(st.dictionaries(st.text(min_size=1, max_size=8), arrays(), max_size=5), st.text())
def test_round_trip(given_arrays: dict[str, np.ndarray[Any, Any]], message: str) -> None:
    """What is decoded is what was encoded: message, names, shapes, values; little-endian whatever it was."""
    got = decode(encode(Frame(message.encode(), given_arrays)))
    assert message.encode() == got.message
    assert given_arrays.keys() == got.arrays.keys()
    for name, array in given_arrays.items():
        np.testing.assert_array_equal(array.astype(array.dtype.newbyteorder("<")), got.arrays[name], strict=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [*NATIVE, np.uint32, np.uint64, ml_dtypes.bfloat16], ids=lambda t: np.dtype(t).name)
def test_the_library_reads_what_is_written(dtype: Any, shape: tuple[int, ...]) -> None:
    """An encoded message is a safetensors file to the reference library, and its files are messages."""
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    entries = dict(_read_by_the_library(encode(Frame(b"{}", {"a": array, "b": np.ones(3)}))))
    assert array.tobytes() == bytes(entries["a"]["data"])
    assert list(shape) == entries["a"]["shape"]
    if dtype is not ml_dtypes.bfloat16:
        theirs = safetensors.numpy.save({"a": array}, {"message": "hello"})
        got = decode(theirs)
        assert got.message == b"hello"
        np.testing.assert_array_equal(array, got.arrays["a"], strict=True)


def test_bfloat16() -> None:
    """bfloat16 travels as BF16 and comes back as NumPy's bfloat16 of ml_dtypes."""
    array = np.array([1.5, -3.0], ml_dtypes.bfloat16)
    encoded = encode(Frame(b"{}", {"a": array}))
    assert _read_by_the_library(encoded)[0][1]["dtype"] == "BF16"
    np.testing.assert_array_equal(array, decode(encoded).arrays["a"], strict=True)


def test_views_travel_in_c_order() -> None:
    """A reversed and transposed view arrives as the values that it shows."""
    view = np.arange(24.0).reshape(2, 3, 4)[::-1, :, ::2].transpose(2, 0, 1)
    np.testing.assert_array_equal(view, decode(encode(Frame(b"{}", {"a": view}))).arrays["a"], strict=True)


def test_arrays_are_aligned_and_writable() -> None:
    """Every array lies at a multiple of its item size within the data, and can be written to."""
    got = decode(encode(Frame(b"{}", {"a": np.ones(3, np.int8), "b": np.ones(3), "c": np.ones(3, np.float16)})))
    for array in got.arrays.values():
        array[...] = 1
        assert array.ctypes.data % array.itemsize == 0


@pytest.mark.parametrize(
    "array", [np.ones(2, complex), np.array([{}]), np.array(["text"])], ids=["complex", "object", "text"]
)
def test_what_cannot_travel_is_named(array: np.ndarray[Any, Any]) -> None:
    """An array of a dtype that the format lacks is refused with its name."""
    with pytest.raises(HostError, match=r"1:y has dtype .* cannot travel"):
        encode(Frame(b"{}", {"1:y": array}))


MALFORMED: dict[str, tuple[bytes, str]] = {
    "text": (b"Hello, world, this is a log line\n", "starts with b'Hello, w'"),
    "no header": (image(b""), "a header length of 0"),
    "header too long": (image(b"{}", length=frames.HEADER_LIMIT + 1), "at most 16777216"),
    "header cut off": (image(b"{}", length=100), "cut off"),
    "no object": (image(b"[1, 2]"), "JSON object"),
    "no JSON": (image(b"{oops}"), "malformed"),
    "not UTF-8": (image(b'{"\xff": 1}'), "malformed"),
    "no metadata": (image({"a": entry()}, bytes(8)), "lacks `__metadata__`"),
    "no message": (image({"__metadata__": {}}), "lacks `message`"),
    "message no text": (image({"__metadata__": {"message": 3}}), "malformed"),
    "unknown dtype": (image(header(a=entry("F8")), bytes(8)), "dtype 'F8'; expected one of F64"),
    "negative length": (image(header(a=entry(shape=(-2, -1))), bytes(8)), "negative length"),
    "shape no integers": (image(header(a=entry(shape=(2.5,))), bytes(8)), "malformed"),
    "one offset": (image(header(a=entry(offsets=(0,))), bytes(8)), "malformed"),
    "extra key": (image(header(a={**entry(), "x": 1}), bytes(8)), "malformed"),
    "size and shape": (image(header(a=entry(offsets=(0, 4))), bytes(8)), r"expected \[0, 8\]"),
    "gap": (image(header(a=entry(offsets=(8, 16))), bytes(16)), r"expected \[0, 8\]"),
    "overlap": (image(header(a=entry(), b=entry(offsets=(4, 12))), bytes(16)), r"array b: .* expected \[8, 16\]"),
    "backwards": (image(header(a=entry(offsets=(8, 0))), bytes(8)), r"expected \[0, 8\]"),
    "too large": (image(header(a=entry("U8", (2**40,), (0, 2**40)))), "1099511627776 bytes; at most"),
    "data cut off": (image(header(a=entry()), bytes(7)), "7 of 8 bytes"),
    "left over": (image(header(a=entry()), bytes(9)), "1 bytes are left over"),
}


@pytest.mark.parametrize(("image_", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(image_: bytes, message: str) -> None:
    """What is no message is refused, with what was found and what was expected."""
    with pytest.raises(HostError, match=message):
        decode(image_)


def test_any_byte_changed_is_refused_or_read() -> None:
    """A message with one byte of its header changed is read or refused, never anything else."""
    good = encode(Frame(b'{"op": "describe"}', {"a": np.arange(3.0), "b": np.ones((2, 2), np.float32)}))
    for position in range(8 + int.from_bytes(good[:8], "little")):
        for value in (0, 34, 48, 125, 255):
            try:
                decode(good[:position] + bytes([value]) + good[position + 1 :])
            except HostError:
                continue


def test_a_message_ends_itself() -> None:
    """A reader takes one message out of a stream, and not a byte more."""
    stream = bytearray(encode(Frame(b"1", {"a": np.ones(2)})) + encode(Frame(b"2")))

    def read(count: int) -> bytearray:
        piece = stream[:count]
        del stream[:count]
        return piece

    assert [b"1", b"2"] == [frames.read_frame(read).message for _ in range(2)]
    assert not stream
