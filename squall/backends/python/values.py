"""Arithmetic, comparisons and casts of the linear IR on NumPy lanes, to the same bits as `backends/ssa_arithmetic`.

Registers are arrays of one dimension, a scalar's of length 1; 16-bit floats are held as their bits in uint16,
pointers as uint64. Functions take NumPy as `np`, so that importing this module does not load it.
"""

from __future__ import annotations

import math
from fractions import Fraction

from squall.ir.linear import Type

STORAGE = {"bool": "bool", "i8": "int8", "u8": "uint8", "i16": "int16", "u16": "uint16", "i32": "int32",
           "u32": "uint32", "i64": "int64", "u64": "uint64", "f16": "uint16", "bf16": "uint16", "f32": "float32",
           "f64": "float64", "ptr": "uint64"}  # fmt: skip
REAL = ("f32", "f64")
_BITS = {"float32": "uint32", "float64": "int64"}


def arithmetic(np, name: str, type: Type, *operands):
    """Any instruction of `ARITHMETIC` on arrays of one type."""
    if name in _SAME:
        return getattr(np, _SAME[name])(*operands)
    if type.scalar in REAL:
        return _FLOAT[name](np, *operands)
    return _INTEGER[name](np, type, *operands)


def compare(np, name: str, a, b):
    """A comparison; the result is a bool array. NaN compares unequal to everything."""
    return getattr(np, _COMPARE[name])(a, b)


_SAME = {"add": "add", "sub": "subtract", "mul": "multiply"}
_COMPARE = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
            "ge": "greater_equal"}  # fmt: skip


# Floats.


def _float_extreme(np, a, b, better):
    best = np.where(better, a, b)
    return np.where(np.isnan(a), a, best)


def fused_multiply_add(np, a, b, c):
    """`a * b + c` rounded once.

    float32: the product is exact in float64, and the sum is rounded there to odd, which no second rounding can
    spoil. float64: exact product and sums as pairs, the smaller parts added to odd (Boldo and Melquiond); where
    a pair could overflow or lose denormal bits, and on Python 3.13, one lane at a time.
    """
    if a.dtype == np.float32:
        return _odd_sum(np, a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)).astype(np.float32)
    if hasattr(math, "fma"):
        return np.array([_fma_exact(x, y, z) for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)])
    product, low = _two_product(np, a, b)
    upper, upper_low = _two_sum(np, c, low)
    total, total_low = _two_sum(np, product, upper)
    result = total + _odd_sum(np, total_low, upper_low)
    size_a, size_b, size_c = np.abs(a), np.abs(b), np.abs(c)
    size = size_a * size_b
    plain = (size < 1e290) & (size > 1e-250) & (size_c < 1e290) & ((size_c > 1e-250) | (c == 0))
    plain &= (size_a < 1e140) & (size_b < 1e140) & np.isfinite(result) & (result != 0)
    zero = (a == 0) | (b == 0)
    result = np.where(zero, a * b + c, result)
    for lane in np.flatnonzero(~(plain | zero)):
        result[lane] = _fma_exact(float(a[lane]), float(b[lane]), float(c[lane]))
    return result


def _two_sum(np, a, b):
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def _two_product(np, a, b):
    product = a * b
    parts = []
    for value in (a, b):
        spread = value * 134217729.0
        high = spread - (spread - value)
        parts += [high, value - high]
    ah, al, bh, bl = parts
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _odd_sum(np, a, b):
    total, error = _two_sum(np, a, b)
    bits = total.view(np.int64)
    away = np.where((error > 0) == (total > 0), 1, -1)
    inexact = np.isfinite(total) & np.isfinite(error) & (error != 0) & (bits & 1 == 0)
    return np.where(inexact, bits + away, bits).view(np.float64)


def _fma_exact(a: float, b: float, c: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        # An overflowing product of finite factors is no infinity here.
        return (a * b if not (math.isfinite(a) and math.isfinite(b)) else math.copysign(1.0, a * b)) + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c if a == 0 or b == 0 else 0.0
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


_FLOAT = {
    "div": lambda np, a, b: np.divide(a, b),
    "rem": lambda np, a, b: np.fmod(a, b),
    "neg": lambda np, a: (a.view(_BITS[a.dtype.name]) ^ _sign(np, a)).view(a.dtype),
    "abs": lambda np, a: np.abs(a),
    "fma": fused_multiply_add,
    "sqrt": lambda np, a: np.sqrt(a),
    "min": lambda np, a, b: _float_extreme(np, a, b, a < b),
    "max": lambda np, a, b: _float_extreme(np, a, b, a > b),
    "floor": lambda np, a: np.floor(a),
    "ceil": lambda np, a: np.ceil(a),
    "trunc": lambda np, a: np.trunc(a),
    "rint": lambda np, a: np.rint(a),
    "copysign": lambda np, a, b: np.copysign(a, b),
}


def _sign(np, a):
    return np.uint32(1 << 31) if a.dtype == np.float32 else np.int64(-(1 << 63))


# Integers.


def _divide(np, type, a, b):
    safe = np.where((b == 0) | (b == -1) if type.is_signed else b == 0, a.dtype.type(1), b)
    quotient = (a - np.fmod(a, safe)) // safe
    if type.is_signed:
        quotient = np.where(b == -1, -a, quotient)
    return np.where(b == 0, a.dtype.type(0), quotient)


def _remainder(np, type, a, b):
    safe = np.where((b == 0) | (b == -1) if type.is_signed else b == 0, a.dtype.type(1), b)
    return np.where(b == 0, a, np.fmod(a, safe))


def _shift_left(np, type, a, b):
    inside = _unsigned(b) < a.dtype.itemsize * 8
    return np.where(inside, np.left_shift(a, np.where(inside, b, 0).astype(a.dtype)), a.dtype.type(0))


def _shift_right(np, type, a, b):
    width = a.dtype.itemsize * 8
    inside = _unsigned(b) < width
    outside = a.dtype.type(width - 1)
    shifted = np.right_shift(a, np.where(inside, b, outside))
    return shifted if type.is_signed else np.where(inside, shifted, a.dtype.type(0))


def _unsigned(a):
    return a.view("u" + a.dtype.name.lstrip("u"))


def _multiply_high(np, type, a, b):
    if a.dtype == np.uint32:
        return ((a.astype(np.uint64) * b.astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)
    return np.array([(x * y) >> 64 for x, y in zip(a.tolist(), b.tolist(), strict=True)], np.uint64)


_INTEGER = {
    "div": _divide, "rem": _remainder, "shl": _shift_left, "shr": _shift_right, "mulhi": _multiply_high,
    "neg": lambda np, t, a: a.dtype.type(0) - a,
    "abs": lambda np, t, a: np.where(a < 0, a.dtype.type(0) - a, a),
    "fma": lambda np, t, a, b, c: a * b + c,
    "min": lambda np, t, a, b: np.minimum(a, b),
    "max": lambda np, t, a, b: np.maximum(a, b),
    "and": lambda np, t, a, b: a & b,
    "or": lambda np, t, a, b: a | b,
    "xor": lambda np, t, a, b: a ^ b,
    "not": lambda np, t, a: ~a,
    **dict.fromkeys(("floor", "ceil", "trunc", "rint"), lambda np, t, a: a),
}  # fmt: skip


# Casts.


def cast(np, a, source: Type, target: Type):
    """An array of type `source` as `target`, by value."""
    here, there = source.scalar, target.scalar
    if here == there:
        return a
    single = source.with_scalar("f32")
    if here == "f16":
        return cast(np, a.view(np.float16).astype(np.float32), single, target)
    if here == "bf16":
        return cast(np, (a.astype(np.uint32) << np.uint32(16)).view(np.float32), single, target)
    if there == "f16":
        return cast(np, a, source, single).astype(np.float16).view(np.uint16)
    if there == "bf16":
        return _to_brain(np, cast(np, a, source, single))
    if there == "bool":
        return a != 0
    if here in REAL and there not in REAL:
        return _to_integer(np, a, there)
    return a.astype(STORAGE[there])


def _to_brain(np, a):
    bits = a.view(np.uint32)
    upper = bits >> np.uint32(16)
    rounded = (bits + (upper & np.uint32(1)) + np.uint32(0x7FFF)) >> np.uint32(16)
    return np.where(np.isnan(a), upper | np.uint32(0x40), rounded).astype(np.uint16)


def _to_integer(np, a, scalar: str):
    a = np.where(np.isnan(a), 0.0, np.trunc(a.astype(np.float64)))
    if scalar not in ("i64", "u64", "u32"):
        return np.clip(a, -(2.0**31), 2.0**31 - 1).astype(np.int64).astype(STORAGE[scalar])
    top = a >= 2.0**63
    signed = np.where(top, np.int64(2**63 - 1), np.where(top, 0.0, np.maximum(a, -(2.0**63))).astype(np.int64))
    if scalar != "u64":
        return signed.astype(STORAGE[scalar])
    over = a >= 2.0**64
    unsigned = np.where(over, np.uint64(2**64 - 1), np.where(over | (a < 0), 0.0, a).astype(np.uint64))
    return np.where(a < 0, signed.view(np.uint64), unsigned)
