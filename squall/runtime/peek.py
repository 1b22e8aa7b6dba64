"""Reading one element out of memory as a Python number."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

from squall.base import dtypes

_TYPES = {
    "i8": ctypes.c_int8,
    "u8": ctypes.c_uint8,
    "i16": ctypes.c_int16,
    "u16": ctypes.c_uint16,
    "i32": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}
_PARTS = {"c64": ctypes.c_float, "c128": ctypes.c_double}
_FLOAT8 = {d.short: d for d in dtypes.FLOAT8}


def read(pointer: int, short: str) -> Any:
    """The element at an address by the linear IR's scalar name.

    Example:
        >>> memory = ctypes.c_float(2.5)
        >>> read(ctypes.addressof(memory), "f32")
        2.5
    """
    if short in _TYPES:
        return _TYPES[short].from_address(pointer).value
    if short == "bool":
        return bool(ctypes.c_uint8.from_address(pointer).value)
    if short in _PARTS:
        part = _PARTS[short]
        return complex(part.from_address(pointer).value, part.from_address(pointer + ctypes.sizeof(part)).value)
    if short in _FLOAT8:
        import numpy

        return float(numpy.frombuffer(ctypes.string_at(pointer, 1), dtypes.numpy_dtype(_FLOAT8[short]))[0])
    bits = ctypes.c_uint16.from_address(pointer).value
    if short == "bf16":
        return struct.unpack("<f", struct.pack("<I", bits << 16))[0]
    return struct.unpack("<e", struct.pack("<H", bits))[0]
