"""Bit patterns of constants: a Python number as each scalar of the linear IR holds it, and as float8 codes.

Writers spell constants by bits, so that text and value never differ by a rounding. 16-bit floats are rounded
through float32, as casts are (see `backends/ssa_arithmetic`).
"""

from __future__ import annotations

import math
import struct

INTEGER_BITS = {"i8": 8, "u8": 8, "i16": 16, "u16": 16, "i32": 32, "u32": 32, "i64": 64, "u64": 64, "ptr": 64}
_EIGHT = {"f8e4m3fn": (3, 7, 0x7E), "f8e5m2": (2, 15, 0x7C)}  # bits of fraction, bias, code of what is too large


def encode(value: float | int | bool, scalar: str) -> int:
    """The unsigned bit pattern of a number held as `scalar`; integers wrap, floats round to nearest even.

    Example:
        >>> hex(encode(1.0, "bf16")), encode(-1, "u8")
        ('0x3f80', 255)
    """
    if scalar == "bool":
        return int(bool(value))
    if scalar in INTEGER_BITS:
        return int(value) & ((1 << INTEGER_BITS[scalar]) - 1)
    if scalar == "f64":
        return struct.unpack("<Q", struct.pack("<d", _canonical(value)))[0]
    single = encode_single(_canonical(value))
    if scalar == "f32":
        return single
    if scalar in _EIGHT:
        return _encode_eight(single, *_EIGHT[scalar])
    if math.isnan(value):
        return 0x7FC0 if scalar == "bf16" else 0x7E00
    if scalar == "bf16":
        return (single + 0x7FFF + ((single >> 16) & 1)) >> 16
    rounded = struct.unpack("<f", struct.pack("<I", single))[0]
    try:
        return struct.unpack("<H", struct.pack("<e", rounded))[0]
    except OverflowError:
        return 0x7C00 if value > 0 else 0xFC00


def _encode_eight(single: int, fraction: int, bias: int, beyond: int) -> int:
    """The code of a float32, by its bits; too large a number is the code `beyond`, NaN the last one."""
    sign, size = single >> 24 & 0x80, single & 0x7FFFFFFF
    if size > 0x7F800000:
        return sign | 0x7F
    value = struct.unpack("<f", struct.pack("<I", size))[0]
    if math.isinf(value):
        return sign | beyond
    exponent = max((size >> 23) - 127, 1 - bias)
    steps = round(math.ldexp(value, fraction - exponent))  # of one ulp; Python rounds halves to even
    return sign | min(steps + (exponent + bias - 1 << fraction), beyond)


def _decode_eight(code: int, fraction: int, bias: int, beyond: int) -> float:
    size, negative = code & 0x7F, code & 0x80
    exponent, steps = size >> fraction, size & ((1 << fraction) - 1)
    if size > beyond:
        value = math.nan
    elif size == 0x7C and fraction == 2:
        value = math.inf
    else:
        value = math.ldexp(steps + (1 << fraction if exponent else 0), max(exponent, 1) - bias - fraction)
    return -value if negative else value


def _canonical(value: float) -> float:
    try:
        value = float(value)
    except OverflowError:
        value = math.inf if value > 0 else -math.inf
    return math.nan if math.isnan(value) else value


def encode_single(value: float) -> int:
    """The bits of a number rounded to float32; beyond its range that is an infinity."""
    try:
        return struct.unpack("<I", struct.pack("<f", value))[0]
    except OverflowError:
        return 0x7F800000 if value > 0 else 0xFF800000


def round_single(value: float) -> float:
    """A number rounded to float32, as a Python float."""
    return struct.unpack("<f", struct.pack("<I", encode_single(value)))[0]


def decode(bits: int, scalar: str) -> float | int | bool:
    """The number whose bits in `scalar` are given: the inverse of `encode`."""
    if scalar == "bool":
        return bool(bits)
    if scalar in INTEGER_BITS:
        width = INTEGER_BITS[scalar]
        return bits - (1 << width) if scalar[0] == "i" and bits >> (width - 1) else bits
    if scalar in _EIGHT:
        return _decode_eight(bits, *_EIGHT[scalar])
    if scalar == "f64":
        return struct.unpack("<d", struct.pack("<Q", bits))[0]
    if scalar == "f16":
        return struct.unpack("<e", struct.pack("<H", bits))[0]
    return struct.unpack("<f", struct.pack("<I", bits << 16 if scalar == "bf16" else bits))[0]
